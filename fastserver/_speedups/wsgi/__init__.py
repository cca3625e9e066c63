"""WSGI (PEP 3333) on the exchange's side of the contract.

``exchange`` is one call of an application, whatever the wire, and ``answer`` its half in the event loop's thread;
``state`` names where both stand.  ``environ`` is what the application is given, ``head`` what it says of its response,
``streams`` the two objects of ``wsgi.*`` that it may call.  ``pool`` are the threads in which it runs, and how they
hand over to the event loop.  ``bounds`` are numbers.
"""
