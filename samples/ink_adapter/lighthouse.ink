// A short story in Ink. Tags that begin with "shot" or "fact" are stage directions for the film.

-> road

=== road ===
Mia comes down to the town before dark. # shot: arrive place="in the city"
The streets are empty. The wind has turned.
* [Knock at the first door]
    Nobody opens, but something hums behind it. # fact: trust=0.8
    -> night
* [Walk on]
    She pulls her scarf tight and walks on. # mood: uneasy
    -> night

=== night ===
The first flakes fall. # fact: weather=snow # shot: storm
She jumps over a fallen branch. # shot: jump
A light! The old castle has its door open.
-> END
