"""longwatch-nano: a small world with exact truth, and the model trained on it.

The only folder that knows that world's subjects, actions and words.
"""
