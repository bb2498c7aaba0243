"""Ways to ask what things look like."""

SEEN = """
describe the scene
describe the picture
describe the place
describe what you see
describe what is there
describe it
describe the video
what does it look like
what does it look like there
what does the scene look like
what does the place look like
what do you see now
what do you see
what can you see
what can be seen
what is there
what is in the picture
what is in the video
what is on the camera
what is this
tell me what it looks like
tell me what you see
show me what you see
give me a description
give me a description of the scene
i want a description of the place
how does it look
how does it look there
what is the situation
how is the situation
"""

UNSEEN = """
can you describe the scene
what does the picture look like
tell me what is there to see in the scene
give me a description of the picture
what can you see in the video
please describe how it looks
"""
