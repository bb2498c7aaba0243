"""Ways to ask which of two or three events came first.

Slots: {a.s}, {a.past} and so on of the event named first, likewise {b...} and {c...}; {a.q} is
the whole event in the present, "the red car crosses".
"""

SEEN = """
which came first, {a.s} {a.ger} or {b.s} {b.ger}
which came first, the {a.nom} or the {b.nom}
what came first, {a.s} {a.ger} or {b.s} {b.ger}
what came first, the {a.nom} or the {b.nom}
which happened first, {a.s} {a.ger} or {b.s} {b.ger}
which happened first, the {a.nom} or the {b.nom}
what happened first, {a.s} {a.ger} or {b.s} {b.ger}
what happened first, the {a.nom} or the {b.nom}
what happened first: {a.q} or {b.q}
which came first: {a.q} or {b.q}
which was first, {a.s} {a.ger} or {b.s} {b.ger}
what was first, the {a.nom} or the {b.nom}
which was earlier, {a.s} {a.ger} or {b.s} {b.ger}
which was earlier, the {a.nom} or the {b.nom}
what was earlier, {a.s} {a.ger} or {b.s} {b.ger}
which one was first, the {a.nom} or the {b.nom}
which one came first, {a.s} {a.ger} or {b.s} {b.ger}
which one happened earlier, {a.s} {a.ger} or {b.s} {b.ger}
which event came first, {a.s} {a.ger} or {b.s} {b.ger}
which event happened first, the {a.nom} or the {b.nom}
which event was earlier, the {a.nom} or the {b.nom}
which of the two came first, {a.s} {a.ger} or {b.s} {b.ger}
which of these came first, {a.q} or {b.q}
which of these happened first, {a.s} {a.ger} or {b.s} {b.ger}
did {a.s} {a.base} before or after {b.s} {b.past}
did {a.s} {a.base} before or after {b.s} {b.ger}
did {a.s} {a.base} before or after the {b.nom}
has {a.s} {a.part} before or after {b.s} {b.past}
was the {a.nom} before or after the {b.nom}
was {a.s} {a.ger} before or after {b.s} {b.past}
did the {a.nom} happen before or after the {b.nom}
did {a.s} {a.base} first or did {b.s} {b.base} first
did {a.s} {a.base} first or {b.s} {b.base}
was it {a.s} {a.ger} or {b.s} {b.ger} that came first
was {a.s} {a.ger} first or was {b.s} {b.ger} first
was the {a.nom} first or the {b.nom}
was the {a.nom} earlier or the {b.nom}
tell me which came first, {a.s} {a.ger} or {b.s} {b.ger}
tell me which happened first, the {a.nom} or the {b.nom}
tell me what came first, {a.q} or {b.q}
tell me whether {a.s} {a.past} before or after {b.s} {b.past}
say what happened first, {a.s} {a.ger} or {b.s} {b.ger}
say whether {a.s} {a.past} before or after {b.s} {b.past}
i want to know which came first, {a.s} {a.ger} or {b.s} {b.ger}
i want to know whether {a.s} {a.past} before or after {b.s} {b.past}
do you know which came first, the {a.nom} or the {b.nom}
can you tell me what happened first, {a.s} {a.ger} or {b.s} {b.ger}
let me know which was first, {a.s} {a.ger} or {b.s} {b.ger}
what did you see first, {a.s} {a.ger} or {b.s} {b.ger}
which did you see first, the {a.nom} or the {b.nom}
what was seen first, {a.s} {a.ger} or {b.s} {b.ger}
{a.s} {a.ger} or {b.s} {b.ger}: which came first
{a.s} {a.ger} or {b.s} {b.ger}, what was first
{a.q} or {b.q}, what happened first
the {a.nom} or the {b.nom}, which was earlier
{a.q} and {b.q}, which came first
{a.q} and {b.q}, in what order
between {a.s} {a.ger} and {b.s} {b.ger}, which came first
of {a.s} {a.ger} and {b.s} {b.ger}, what came first
in what order did {a.s} {a.base} and {b.s} {b.base}
in which order did {a.s} {a.base} and {b.s} {b.base}
in what order were the {a.nom} and the {b.nom}
give me the order of {a.s} {a.ger} and {b.s} {b.ger}
find out which came first, {a.q} or {b.q}
what took place first, {a.s} {a.ger} or {b.s} {b.ger}
which took place earlier, the {a.nom} or the {b.nom}
which came first, {a.s} {a.ger}, {b.s} {b.ger} or {c.s} {c.ger}
which happened first, the {a.nom}, the {b.nom} or the {c.nom}
what came first, {a.q}, {b.q} or {c.q}
which of the three was first, {a.s} {a.ger}, {b.s} {b.ger} or {c.s} {c.ger}
in what order did {a.s} {a.base}, {b.s} {b.base} and {c.s} {c.base}
which was earliest, the {a.nom}, the {b.nom} or the {c.nom}
tell me what happened first, {a.q}, {b.q} or {c.q}
{a.q}, {b.q} and {c.q}: which came first
"""

UNSEEN = """
of the {a.nom} and the {b.nom}, which one was first
which of the two happened earlier, {a.q} or {b.q}
was {a.s} {a.ger} earlier than {b.s} {b.ger} or after it
was it before or after {b.s} {b.past} that {a.s} {a.past}
is it true that first {a.s} {a.past} and then {b.s} {b.past} or was it the other way
between the {a.nom} and the {b.nom}, what happened first
can you say which event came first, {a.q} or {b.q}
what came earlier in time, {a.s} {a.ger} or {b.s} {b.ger}
what was the first to happen, the {a.nom} or the {b.nom}
please tell me whether the {a.nom} was before or after the {b.nom}
who was first: {a.q} or {b.q}
did i see {a.s} {a.base} first or {b.s} {b.base} first
find the order of the {a.nom} and the {b.nom}
which of these three came first, {a.q}, {b.q} or {c.q}
what was earliest, {a.s} {a.ger}, {b.s} {b.ger} or {c.s} {c.ger}
"""
