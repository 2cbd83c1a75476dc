"""Write with a trained model: `python -m minillm.generate RUN --prompt "..."`. The text appears as it is drawn.

`--prompt -` reads the prompt from standard input. Ctrl-C ends the text; what is written stays.
"""
