"""Ways to ask what happened in a stretch of time.

Slot: {t}, "between 00:12:00 and 00:13:30" or the like; it is empty where a caller has cut the
times out already, and every line must still be understood then.
"""

SEEN = """
what happened {t}
{t} what happened
what was happening {t}
what happens {t}
what happened there {t}
what all happened {t}
what has happened {t}
what did happen {t}
what took place {t}
what was going on {t}
what went on {t}
what was there to see {t}
what could one see happening {t}
what did you see {t}
what did you see happen {t}
what have you seen {t}
what did the camera see {t}
what did the camera record {t}
what was seen {t}
what was recorded {t}
what events were there {t}
what events happened {t}
which events happened {t}
which events took place {t}
which events did you see {t}
which things happened {t}
what things happened {t}
tell me what happened {t}
tell me everything that happened {t}
tell me what you saw {t}
tell me about the events {t}
show me what happened {t}
show me all events {t}
show me everything {t}
say what happened {t}
list what happened {t}
list the events {t}
list all events {t}
list everything that happened {t}
list everything {t}
give me all events {t}
give me the events {t}
give me everything that happened {t}
give me a list of what happened {t}
give me a summary of what happened {t}
summarize what happened {t}
summarize the events {t}
summarize {t}
describe what happened {t}
describe the events {t}
report what happened {t}
report all events {t}
did anything happen {t} and if so what
was there anything {t} and what was it
all events {t}
events {t}
everything that happened {t}
i want to know what happened {t}
i want to see all events {t}
i need a list of the events {t}
let me know what happened {t}
let me see what happened {t}
do you know what happened {t}
can you tell me what happened {t}
can you list the events {t}
find everything that happened {t}
find all events {t}
what did i miss {t}
what is there to know {t}
go through the events {t}
which activity was there {t}
what activity did you see {t}
"""

UNSEEN = """
what can you tell me about the time {t}
what things did the camera see {t}
which things took place {t}
what are the events {t}
i would like a list of everything that happened {t}
tell me all the things that went on {t}
show me the things that happened {t}
what was it that happened {t}
was anything going on {t} and what
please report everything you saw {t}
find out what happened {t}
summary of the events {t}
what happened in the video {t}
everything you have seen {t}
"""
