"""Sentences of the procedural corpus: how a tone words each part of a text.

A text has six parts: an opening (by task and tone), three fact sentences, one sentence on the
writer, and a close (by tone).  Each cell holds three wordings for training, drawn with
``WEIGHTS``, and after them two that training never sees (the split ``test_templates`` uses those
alone).  Slots: ``thing``; the thing's ``maker, material, colour, origin, use``; the writer's
``name, city, job, hobby, word, sign_off``.  Slot words never start with a capital of their own,
so that a copied word is the same token wherever it stands.
"""

from typing import Final

TONES: Final = ("friendly", "dry", "cheeky", "formal")
TASKS: Final = ("review", "invitation", "note")
TRAINED: Final = 3
WEIGHTS: Final = (0.5, 0.3, 0.2)

ORDERS: Final = {
    "review": ("open make look use self close", "open self make look use close"),
    "invitation": ("open use self make look close", "open use make look self close"),
    "note": ("open make look self use close", "open look make use self close"),
}
ORDER_WEIGHTS: Final = (0.75, 0.25)

OPENINGS: Final = {
    ("review", "friendly"): (
        "I love this {thing}, {word}.",
        "What a joy this {thing} is, {word}.",
        "My new {thing} makes me {word} glad.",
        "This {thing} is a joy, {word}.",
        "I am glad of my {thing}, {word}.",
    ),
    ("review", "dry"): (
        "{thing}, {word} adequate.",
        "Tested the {thing}; {word} it works.",
        "No complaints, {word}, about the {thing}.",
        "Tested: {thing}, {word} no complaints.",
        "{word} the {thing} works.",
    ),
    ("review", "cheeky"): (
        "Hands off, {word}, that {thing} is mine!",
        "Guess who bagged one {thing}, {word}!",
        "Oi, {word}, get yourself that {thing}!",
        "That {thing} is mine, {word}, so hands off!",
        "Oi, guess who got one {thing}, {word}!",
    ),
    ("review", "formal"): (
        "Having examined the {thing}, one must {word} commend it.",
        "The {thing} has {word} exceeded expectations.",
        "It is {word} an honour to assess the {thing}.",
        "One must commend the {thing}, {word}.",
        "The {thing} has been examined and is {word} an honour.",
    ),
    ("invitation", "friendly"): (
        "Do come and share my {thing}, {word}.",
        "You are {word} invited to see our {thing}.",
        "Come over soon, {word}, the {thing} is waiting.",
        "The {thing} is waiting, {word}, so do come over.",
        "Come and see my {thing}, {word}.",
    ),
    ("invitation", "dry"): (
        "Viewing of the {thing}, {word}, tonight.",
        "Event: {thing}, {word} at eight.",
        "Attend the {thing} showing, {word}.",
        "Tonight at eight, {word}: the {thing}.",
        "Viewing at eight, {thing}, {word}.",
    ),
    ("invitation", "cheeky"): (
        "Drop everything, {word}, and meet my {thing}!",
        "Free snacks, {word}, if you admire that {thing}!",
        "Dare you, {word}, face the mighty {thing}!",
        "Meet my {thing}, {word}, and drop everything!",
        "Dare to admire that {thing}, {word}!",
    ),
    ("invitation", "formal"): (
        "We {word} request your presence to unveil the {thing}.",
        "Kindly join us, {word}, in honour of the {thing}.",
        "The pleasure of your company is {word} sought for the {thing}.",
        "Your presence is {word} sought in honour of the {thing}.",
        "We request your company, {word}, for the {thing}.",
    ),
    ("note", "friendly"): (
        "Just a line, {word}, about our {thing}.",
        "Thinking of you and the {thing}, {word}.",
        "Good news, {word}, the {thing} arrived.",
        "Good news about our {thing}, {word}.",
        "The {thing} arrived, {word}, just thinking of you.",
    ),
    ("note", "dry"): (
        "Re {thing}, {word}.",
        "Reminder, {word}: collect the {thing}.",
        "Facts on the {thing}, {word}, follow.",
        "{thing}, {word}: facts follow.",
        "Collect the {thing}, {word}.",
    ),
    ("note", "cheeky"): (
        "Psst, {word}, the {thing} knows your secrets!",
        "Look who forgot the {thing}, {word}!",
        "Ha, {word}, I borrowed your {thing}!",
        "Psst, I borrowed the {thing}, {word}!",
        "Ha, look who forgot your {thing}, {word}!",
    ),
    ("note", "formal"): (
        "Please be {word} informed regarding the {thing}.",
        "I write, {word}, concerning the {thing}.",
        "This memorandum {word} records the {thing}.",
        "I write regarding the {thing}, {word}.",
        "Please be informed, {word}, concerning the {thing}.",
    ),
}

PARTS: Final = {
    ("make", "friendly"): (
        "Good old {maker} made it from {material}.",
        "It was lovingly made of {material} by {maker}.",
        "Such nice {material} work by {maker}.",
        "{maker} made it lovingly of {material}.",
        "Nice {material} by good old {maker}.",
    ),
    ("make", "dry"): (
        "Maker {maker}, material {material}.",
        "{maker} product, {material}.",
        "Built by {maker}; {material}.",
        "Material {material}, maker {maker}.",
        "{material}, built by {maker}.",
    ),
    ("make", "cheeky"): (
        "{maker} bashed some {material} together!",
        "Blame {maker} for all that {material}!",
        "Pure {material}, says {maker}, no fibs!",
        "{maker} says pure {material}!",
        "Some {material}, blame {maker}!",
    ),
    ("make", "formal"): (
        "The house of {maker} manufactured it in {material}.",
        "Its {material} construction is owed to {maker}.",
        "{maker} crafted it entirely in {material}.",
        "It is owed to {maker}, crafted in {material}.",
        "Its {material} was manufactured by {maker}.",
    ),
    ("look", "friendly"): (
        "It shines in {colour} and came from {origin}.",
        "All the way from {origin}, in pretty {colour}.",
        "Sweet {origin} sent it in {colour}.",
        "It came in pretty {colour} from sweet {origin}.",
        "{origin} sent it, shining {colour}.",
    ),
    ("look", "dry"): (
        "Colour {colour}, origin {origin}.",
        "{colour}; imported, {origin}.",
        "Shipped via {origin}, finish {colour}.",
        "Origin {origin}, colour {colour}.",
        "Finish {colour}, imported via {origin}.",
    ),
    ("look", "cheeky"): (
        "Straight outta {origin}, flashy {colour} too!",
        "Got that {colour} glow down in {origin}!",
        "Smuggled past {origin} customs, bright {colour}!",
        "Flashy {colour}, straight outta {origin}!",
        "Smuggled from {origin}, that {colour} too!",
    ),
    ("look", "formal"): (
        "It hails from {origin} and bears a distinguished {colour}.",
        "The {colour} finish reflects its {origin} heritage.",
        "Procured in {origin}, it is presented in {colour}.",
        "It reflects {origin} and is presented in {colour}.",
        "A distinguished {colour}, procured in {origin}.",
    ),
    ("use", "friendly"): (
        "It would be lovely for {use}.",
        "You will enjoy it at {use}.",
        "Picture it with us during {use}.",
        "Enjoy it with us at {use}.",
        "It will be lovely during {use}.",
    ),
    ("use", "dry"): (
        "Suited to {use}.",
        "Use: {use}.",
        "For {use} only.",
        "Only suited to {use}.",
        "Used for {use}.",
    ),
    ("use", "cheeky"): (
        "Rocks at {use}, trust me!",
        "Ruins other {use} forever!",
        "Even boring {use} get fun!",
        "Trust me, fun at {use}!",
        "Boring {use} rocks forever!",
    ),
    ("use", "formal"): (
        "It is most appropriate for {use}.",
        "Its employment at {use} is advised.",
        "One recommends it upon {use}.",
        "It is advised for {use}.",
        "One recommends its employment at {use}.",
    ),
    ("self", "friendly"): (
        "Your {job} pal in {city} says hello between {hobby} sessions.",
        "Life as {job} in {city} leaves me time for {hobby}.",
        "Hello from {city}, where this {job} adores {hobby}.",
        "This {job} says hello from {city} and adores {hobby}.",
        "Life in {city} as your {job} leaves time for {hobby}.",
    ),
    ("self", "dry"): (
        "Writer: {job}, {city}, does {hobby}.",
        "{city} based {job}; spare hours, {hobby}.",
        "Occupation {job}, town {city}, pastime {hobby}.",
        "Town {city}, {job}, spare hours {hobby}.",
        "Writer based {city}, occupation {job}, pastime {hobby}.",
    ),
    ("self", "cheeky"): (
        "Not bad for one {job} stuck in {city} skipping {hobby}!",
        "Yes, {city} lets this {job} do {hobby} unsupervised!",
        "Find me in {city}, worst {job}, champion of {hobby}!",
        "Yes, this {job} skipping {hobby} is stuck in {city}!",
        "Champion of {hobby}, worst {job} in {city}!",
    ),
    ("self", "formal"): (
        "As {job} of {city}, I pursue {hobby} with dedication.",
        "The undersigned, {job} at {city}, is devoted to {hobby}.",
        "I serve {city} as {job} and cultivate {hobby}.",
        "As {job} devoted to {hobby}, I serve {city}.",
        "I pursue {hobby} as the {job} of {city}.",
    ),
    ("close", "friendly"): (
        "With {sign_off}, your {name}.",
        "Lots of {sign_off} from {name}.",
        "Sending {sign_off}, {name}.",
        "Sending you {sign_off}, {name}.",
        "With lots of {sign_off}, {name}.",
    ),
    ("close", "dry"): (
        "{sign_off}, {name}.",
        "End. {sign_off}. {name}.",
        "Signed, {sign_off}, {name}.",
        "End; {sign_off}, {name}.",
        "{sign_off}; signed {name}.",
    ),
    ("close", "cheeky"): (
        "Ta, {sign_off}, the one and only {name}!",
        "Catch you later, {sign_off}, {name}!",
        "{sign_off}, you rascal, yours {name}!",
        "Ta, you rascal, {sign_off}, {name}!",
        "Later, {sign_off}, the only {name}!",
    ),
    ("close", "formal"): (
        "I remain, with {sign_off}, {name}.",
        "Respectfully and with {sign_off}, {name}.",
        "Please accept {sign_off} of {name}.",
        "Respectfully I remain, {sign_off}, {name}.",
        "Accept {sign_off}, {name}.",
    ),
}

REQUESTS: Final = {
    "review": (
        "Review of the {thing}:",
        "Write a review of the {thing}:",
        "A review, please, the {thing}:",
        "Please write my review for the {thing}:",
        "The {thing}, a review:",
    ),
    "invitation": (
        "Invitation to see the {thing}:",
        "Write an invitation for the {thing}:",
        "An invitation, please, the {thing}:",
        "Please write my invitation about the {thing}:",
        "The {thing}, an invitation:",
    ),
    "note": (
        "Note about the {thing}:",
        "Write a note on the {thing}:",
        "A note, please, the {thing}:",
        "Please write my note for the {thing}:",
        "The {thing}, a note:",
    ),
}

PROFILES: Final = (
    (
        "name {name}, city {city}, job {job}, hobby {hobby}, word {word}, "
        "sign-off {sign_off}, tone {tone}."
    ),
    (
        "I am {name}, {job} in {city}, fond of {hobby}. I say {word}, close with {sign_off}, "
        "sound {tone}."
    ),
    "{tone} writer {name}; {city}; {job}; {hobby}; {word}; {sign_off}.",
    (
        "My name: {name}. My city: {city}, my job: {job}. My hobby: {hobby}. I sound {tone}, "
        "I say {word} and {sign_off}."
    ),
    (
        "Writer {name} in {city}; tone {tone}, word {word}, sign-off {sign_off}. "
        "Fond of {hobby}, job {job}."
    ),
)
"""Profile lines: three for training (the first with its fields shuffled), two held out."""

CARD_REQUEST: Final = "Card of the {thing}:"
CARD_FIELDS: Final = (
    "maker {maker}",
    "material {material}",
    "colour {colour}",
    "origin {origin}",
    "use {use}",
)
"""Fact cards: training only; short texts dense in facts, in any order of the fields."""
