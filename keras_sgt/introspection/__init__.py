"""All that the package knows of Keras's insides.

Each helper says which public way it waits for, if it takes a private one.
"""
