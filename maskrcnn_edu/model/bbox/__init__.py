"""Second storey: which class is it, and where exactly?"""
