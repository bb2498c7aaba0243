"""The model as SGLang serves it: a package that SGLang loads, as its environment tells it."""
