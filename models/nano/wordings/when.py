"""Ways to ask when something happened. A line may begin with `first |` or `last |`.

Slots: {s} subject, {base} cross, {pres} crosses, {past} crossed, {part} (has) crossed,
{ger} crossing, {nom} crossing of the red car.
"""

SEEN = """
when did {s} {base}
when was it that {s} {past}
at what time did {s} {base}
what time did {s} {base}
at which moment did {s} {base}
at which time did {s} {base}
when exactly did {s} {base}
tell me when {s} {past}
show me when {s} {past}
show me the moment {s} {past}
show me {s} {ger}
find the moment when {s} {past}
find {s} {ger}
find the time of the {nom}
give me the time when {s} {past}
give me the time of the {nom}
when could one see {s} {ger}
when do you see {s} {ger}
when did you see {s} {base}
when have you seen {s} {ger}
when was {s} {ger}
when is {s} {ger}
when was {s} seen {ger}
when does {s} {base}
when has {s} {part}
i want to know when {s} {past}
i am looking for the moment when {s} {past}
i need the time at which {s} {past}
what is the time of the {nom}
what was the time when {s} {past}
when was the {nom}
when did the {nom} happen
when did the {nom} take place
at what time was the {nom}
where in the video does {s} {base}
where in the recording is {s} {ger}
do you know when {s} {past}
say when {s} {past}
let me know when {s} {past}
on which occasions did {s} {base}
go to the moment when {s} {past}
play the moment when {s} {past}
at which point in time did {s} {base}
in which minute did {s} {base}
time of {s} {ger}
moment of the {nom}
can you find when {s} {past}
can you tell me when {s} {past}
list the times when {s} {past}
give me all moments when {s} {past}
first | when did {s} first {base}
first | when did {s} {base} for the first time
first | when was the first time that {s} {past}
first | what time did {s} first {base}
first | at what time did {s} {base} first
first | show me the first time {s} {past}
first | find the first {nom}
first | when was the first {nom}
first | tell me when {s} {past} for the first time
first | when do you first see {s} {ger}
first | when did the first {nom} happen
first | what was the earliest time that {s} {past}
last | when did {s} last {base}
last | when did {s} {base} for the last time
last | when was the last time that {s} {past}
last | what time did {s} last {base}
last | at what time did {s} {base} last
last | show me the last time {s} {past}
last | find the last {nom}
last | when was the last {nom}
last | tell me when {s} {past} for the last time
last | when do you last see {s} {ger}
last | when did the last {nom} happen
last | what was the latest time that {s} {past}
last | when was the most recent {nom}
last | when did {s} most recently {base}
"""

UNSEEN = """
what is the moment at which {s} {past}
can you find the time of {s} {ger}
i would like to see when {s} {past}
at which point did {s} {base}
which minute shows {s} {ger}
please give me the moment of the {nom}
when did it happen that {s} {past}
what time was it when {s} {past}
when can i see {s} {ger}
first | what was the first moment at which {s} {past}
first | when was {s} {ger} for the first time
first | find the earliest {nom}
last | what was the last moment at which {s} {past}
last | when was {s} {ger} for the last time
last | at what time was the latest {nom}
"""
