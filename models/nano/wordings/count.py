"""Ways to ask how often something happened.

Slots: those of `when`, {noms} crossings of the red car, and {pl} red cars (only things that come
in several have it).
"""

SEEN = """
how many times did {s} {base}
how often did {s} {base}
how many times has {s} {part}
how often has {s} {part}
how many times does {s} {base}
how often does {s} {base}
how many times was {s} {ger}
how often was {s} {ger}
how many times was {s} seen {ger}
how often was {s} seen {ger}
how many times did you see {s} {base}
how often did you see {s} {ger}
how many times have you seen {s} {ger}
how many times do you see {s} {base}
how many {noms} were there
how many {noms} are there
how many {noms} did you see
how many {noms} have you seen
how many {noms} happened
how many {noms} took place
how many {noms} can you find
how many {noms} were recorded
how many {noms}
count the {noms}
count how many times {s} {past}
count how often {s} {past}
count the times that {s} {past}
count all {noms}
count the times when {s} {past}
count every time {s} {past}
tell me how many times {s} {past}
tell me how often {s} {past}
tell me the number of {noms}
tell me how many {noms} there were
what is the number of {noms}
what was the number of {noms}
what number of times did {s} {base}
number of {noms}
number of times {s} {past}
give me the number of {noms}
give me the number of times {s} {past}
give me a count of the {noms}
give me the total number of {noms}
i want to know how many times {s} {past}
i want to know how often {s} {past}
i need the number of {noms}
say how often {s} {past}
say how many times {s} {past}
let me know how often {s} {past}
do you know how many times {s} {past}
can you count the {noms}
can you tell me how often {s} {past}
on how many occasions did {s} {base}
on how many occasions was {s} {ger}
in total how many times did {s} {base}
how many times in total did {s} {base}
how often in all did {s} {base}
how often did the {nom} happen
how many times did the {nom} happen
how many times did it happen that {s} {past}
how often did it happen that {s} {past}
how many {pl} {past}
how many {pl} did you see {ger}
how many {pl} were {ger}
how many {pl} were seen {ger}
count the {pl} that {past}
tell me how many {pl} {past}
what is the number of {pl} that {past}
how many {pl} were there that {past}
how many {pl} have {part}
"""

UNSEEN = """
what is the total number of times {s} {past}
please count the times {s} {past}
how often could one see {s} {ger}
give me the count of all {noms}
how many {noms} did the camera record
can you say how many times {s} {past}
find out how often {s} {past}
how many times in all has {s} {part}
how often was there a {nom}
what was the count of {noms}
i would like to know how many times {s} {past}
for how many times was {s} {ger}
show me how often {s} {past}
how many {pl} could one see {ger}
"""
