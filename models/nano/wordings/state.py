"""Ways to ask whether a state still holds.

Slots: {s} subject, {st} its state: there, on, open, on the ground.
"""

SEEN = """
is {s} still {st}
is {s} still {st} now
is {s} {st} now
is {s} {st}
is {s} still {st} at the end
is {s} {st} at the end
is {s} {st} right now
is {s} still {st} at this moment
is {s} at this time still {st}
is {s} at the moment {st}
is {s} now {st}
is {s} yet {st}
is {s} {st} still
is {s} really still {st}
is {s} always {st} still
is {s} even now {st}
was {s} still {st}
was {s} {st} at the end
was {s} still {st} at the end
was {s} still {st} then
was {s} {st} at that time
was {s} {st} then
was {s} at last {st}
does {s} stay {st}
does {s} stay {st} until the end
did {s} stay {st}
did {s} stay {st} until the end
has {s} stayed {st}
has {s} stayed {st} until now
is it true that {s} is still {st}
is it true that {s} is {st} now
is it so that {s} is still {st}
is it the case that {s} is still {st}
is it still so that {s} is {st}
do you see {s} still {st}
do you still see {s} {st}
can you see {s} still {st}
can you still see {s} {st}
could one still see {s} {st}
tell me whether {s} is still {st}
tell me if {s} is still {st}
tell me whether {s} is {st} now
tell me if {s} is {st}
say whether {s} is still {st}
say if {s} is {st} now
show me whether {s} is still {st}
let me know if {s} is still {st}
let me know whether {s} stayed {st}
i want to know if {s} is still {st}
i want to know whether {s} is {st}
i need to know whether {s} is still {st}
do you know whether {s} is still {st}
do you know if {s} is {st}
can you tell me if {s} is still {st}
can you tell me whether {s} is {st} now
can you check if {s} is still {st}
check whether {s} is still {st}
check if {s} is {st}
find out if {s} is still {st}
find out whether {s} is still {st}
{s} still {st}
{s} is still {st} right
{s} is {st} now is that true
and {s} still {st}
is {s} still {st} or not
is {s} {st} or not
is {s} still {st} or not any more
is {s} still {st} or has that changed
what about {s} still {st}
what about {s} is it still {st}
how about {s} is it {st} now
"""

UNSEEN = """
is {s} as of now still {st}
has {s} been {st} until the end
did {s} stay {st} up to the end
at the end is {s} still {st}
can one say that {s} is still {st}
does one still see {s} {st}
please find out if {s} is {st} at this moment
i would like to know whether {s} is still {st}
is it right that {s} is still {st}
was it the case that {s} was still {st}
you still have {s} {st} right
right now is {s} {st}
could you check that {s} is still {st}
{s} is it still {st}
"""
