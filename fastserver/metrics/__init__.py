"""What all workers together have done: the scoreboard that they share, and the forms in which it is given out."""
