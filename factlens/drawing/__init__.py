"""How results are drawn: as SVG, as HTML, in matplotlib and in a terminal. Numbers and words in, pictures out.

It stands on the ground: it knows escaping and what can be seen of a text, and no trace, edit or report. These describe
themselves (`grid.GridPicture`), and every way to draw reads that one description.
"""
