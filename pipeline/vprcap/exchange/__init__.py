"""Exchange with the field's other programs: one module for each format of theirs.

Their files are read as data and trusted in nothing: names in them are looked up among a manifest's
images, never opened. What is written for them is whole or absent, and moves no image.
"""
