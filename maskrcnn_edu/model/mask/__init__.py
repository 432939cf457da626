"""Third storey: which of the box's pixels belong to the object?"""
