"""Ways to ask whether something happened at all.

Slots: those of `when`.
"""

SEEN = """
did {s} {base}
did {s} ever {base}
did {s} {base} at all
did {s} {base} at any time
did {s} {base} or not
did {s} at any time {base}
did {s} at any point {base}
did {s} really {base}
did {s} actually {base}
has {s} {part}
has {s} ever {part}
has {s} {part} at all
has {s} {part} yet
has {s} at any time {part}
does {s} {base}
does {s} ever {base}
does {s} {base} at any point
was {s} ever {ger}
was {s} {ger} at any time
was {s} seen {ger}
was {s} ever seen {ger}
was there a {nom}
was there any {nom}
was there ever a {nom}
was a {nom} recorded
was any {nom} seen
is there a {nom}
is there any {nom}
is there a moment when {s} {past}
is there a moment with {s} {ger}
is there any time when {s} {past}
was there a moment when {s} {past}
was there a time when {s} {past}
did it happen that {s} {past}
did it ever happen that {s} {past}
is it true that {s} {past}
is it true that {s} ever {past}
is it so that {s} {past}
is it the case that {s} {past}
did a {nom} happen
did any {nom} happen
did a {nom} take place
did you see {s} {base}
did you see {s} {ger}
did you ever see {s} {base}
did you see a {nom}
did you see any {nom}
did the camera see {s} {ger}
did the camera record a {nom}
have you seen {s} {ger}
have you ever seen {s} {base}
have you seen a {nom}
do you see {s} {ger}
do you ever see {s} {ger}
can you see {s} {ger}
can you find a {nom}
can you find {s} {ger} at all
could one see {s} {ger}
tell me if {s} {past}
tell me whether {s} {past}
tell me if {s} ever {past}
tell me whether there was a {nom}
say whether {s} {past}
say if {s} ever {past}
i want to know if {s} {past}
i want to know whether {s} ever {past}
let me know if {s} {past}
do you know whether {s} {past}
can you tell me if {s} {past}
check if {s} {past}
check whether {s} ever {past}
find out whether {s} {past}
{s} {past} right
"""

UNSEEN = """
did {s} even once {base}
was it ever the case that {s} {past}
can you check whether {s} {past}
do you have a moment when {s} {past}
is there a time at which {s} {past}
was there anything like {s} {ger}
have you at any point seen {s} {ger}
i would like to know whether {s} {past}
could one ever see {s} {ger}
can it be that {s} {past}
has there been a {nom}
has any {nom} been recorded
did at any time a {nom} take place
is it right that {s} {past}
"""
