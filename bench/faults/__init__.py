"""The fault suite: servers are killed, reloaded, starved and hung, while a client of its own judges each answer.

``content`` and ``truth`` are what application and client agree on; ``outcome`` is the judgement; ``wire``, ``h1``,
``h2``, ``ws`` and ``load`` are the client; ``server`` says how each server is started; ``injectors`` has the faults.
"""
