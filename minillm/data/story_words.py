"""The rules and the words the stories are drawn from. Data only; the notation is explained in grammar.py."""

from collections.abc import Mapping, Sequence

from minillm.data.grammar import WordList


def _people(kind: str, she: str, her: str, him: str, names: str) -> tuple[tuple[str, ...], ...]:
    return tuple((name, kind, she, her, him) for name in names.split())


def _words(fields: str, entries: str) -> WordList:
    """One entry a line, its fields separated by bars."""
    rows = (tuple(part.strip() for part in line.split("|")) for line in entries.strip().splitlines())
    return WordList(tuple(fields.split()), tuple(rows))


WORDS: dict[str, WordList] = {
    "child": WordList(
        ("name", "kind", "she", "her", "him"),
        _people("girl", "she", "her", "her", "Ada Bella Clara Dora Elsa Greta Hana Iris Lily Mei Nora Ruth Tilda Zoe")
        + _people("boy", "he", "his", "him", "Anton Ben Carlo Emil Felix Hugo Jonas Karl Leo Max Oskar Pavel Theo Wei"),
    ),
    "animal": _words(
        "one the",
        """
        a small grey mouse | the mouse
        an old turtle      | the turtle
        a clever fox       | the fox
        a sleepy owl       | the owl
        a thin black cat   | the cat
        a round hedgehog   | the hedgehog
        a brown hare       | the hare
        a noisy crow       | the crow
        a gentle donkey    | the donkey
        a young otter      | the otter
        a shy deer         | the deer
        a busy squirrel    | the squirrel
        a green frog       | the frog
        a one-eyed dog     | the dog
        a proud goose      | the goose
        a very slow snail  | the snail
        """,
    ),
    "elder": _words(
        "one relation",
        """
        grandmother   | grandmother
        grandfather   | grandfather
        aunt Rosa     | aunt
        uncle Piet    | uncle
        teacher       | teacher
        mother        | mother
        father        | father
        big sister    | sister
        """,
    ),
    "home": _words(
        "where",
        """
        by the sea
        on a hill
        at the edge of the forest
        near the old mill
        beside a quiet lake
        above the bakery
        behind the railway station
        in the middle of the village
        under three tall oaks
        between two rivers
        at the end of a long road
        next to the lighthouse
        """,
    ),
    "toy": _words(
        "full short",
        """
        red kite       | kite
        wooden boat    | boat
        silver whistle | whistle
        blue ball      | ball
        tin drum       | drum
        yellow hat     | hat
        paper lantern  | lantern
        brass key      | key
        little mirror  | mirror
        woollen scarf  | scarf
        glass marble   | marble
        picture book   | book
        painted top    | top
        rag doll       | doll
        copper bell    | bell
        leather purse  | purse
        """,
    ),
    "spot": _words(
        "where",
        """
        under the stone bridge
        behind the woodpile
        in the hollow of an oak
        at the bottom of the well
        among the tall reeds
        on the roof of the barn
        beneath a heap of leaves
        inside an empty barrel
        between two mossy rocks
        in the miller's cart
        on the highest branch of a pear tree
        under the market stall
        in a rabbit hole
        beside the church door
        """,
    ),
    "dish": _words(
        "one the",
        """
        a honey cake        | the cake
        a pot of bean soup  | the soup
        an apple pie        | the pie
        a loaf of rye bread | the loaf
        a plum pudding      | the pudding
        a bowl of dumplings | the dumplings
        a jar of cherry jam | the jam
        a cheese tart       | the tart
        a ginger biscuit    | the biscuit
        a stack of pancakes | the pancakes
        """,
    ),
    "part": _words(
        "some bare",
        """
        flour               | flour
        butter              | butter
        salt                | salt
        a spoon of sugar    | sugar
        a cup of milk       | milk
        a little cinnamon   | cinnamon
        warm water          | water
        a pinch of yeast    | yeast
        a bag of hazelnuts  | hazelnuts
        a drop of oil       | oil
        """,
    ),
    "trouble": _words(
        "stuck free",
        """
        caught in a thorn bush        | out of the thorns
        sitting in a deep ditch       | out of the ditch
        tangled in a fishing net      | out of the net
        trapped under a fallen branch | from under the branch
        shut in an empty shed         | out of the shed
        shivering on a block of ice   | off the ice
        stuck in a narrow pipe        | out of the pipe
        lost in the thick fog         | out of the fog
        """,
    ),
}

RULES: Mapping[str, Sequence[str] | Mapping[str, float]] = {
    "story": ["[opening] [likes][aside] One [weather] [hour] [plot][aside] [ending]\n\n"],
    "aside": {
        "": 3,
        " The sky was [colour], and [sound].": 3,
        " Somewhere [animal_far] was [doing].": 3,
        " The air smelled of [scent] and [scent].": 2,
    },
    "colour": [
        "pale", "deep blue", "full of clouds", "pink", "as clear as glass", "almost white", "dark",
        "the colour of lead",
    ],
    "sound": [
        "the bells were ringing", "a dog barked far away", "it was very still", "the wind hummed in the chimneys",
        "rain dripped from the roofs", "the mill wheel creaked", "geese flew over the fields", "the leaves rustled",
    ],
    "animal_far": ["a cuckoo", "a cart", "a small bird", "a train", "a cow", "somebody", "an old woman", "a fiddler"],
    "doing": [
        "calling", "going round in circles", "making a terrible noise", "passing by", "waiting", "singing",
        "out of breath",
    ],
    "scent": ["smoke", "hay", "wet earth", "fresh bread", "salt", "pine trees", "roses", "snow", "soap", "apples"],
    "said": ["said", "whispered", "cried", "answered", "murmured"],
    "opening": [
        "Once upon a time there was a child called {hero=child} who lived {home=home}.",
        "{hero=child} was a [trait] {hero.kind} who lived {home=home}.",
        "In a [size] house {home=home} lived a child whose name was {hero=child}.",
        "Far from here, {home=home}, there lived a [trait] child, and everybody called the child {hero=child}.",
    ],
    "trait": [
        "kind", "curious", "brave", "quiet", "cheerful", "stubborn", "thoughtful", "merry", "patient", "restless",
    ],
    "size": ["small", "tall", "crooked", "white", "windy", "cosy"],
    "likes": {
        "{hero.She} liked [hobby] more than anything else.": 3,
        "{hero.She} liked [hobby], but {hero.she} was a little afraid of [fear].": 3,
        "{hero.Her} days were [adjective] and [adjective].": 2,
        "{hero.She} had [count] [animals] and a [adjective] secret.": 2,
        "{hero} and {hero.her} [relative] were often seen [hobby].": 2,
    },
    "adjective": ["long", "happy", "simple", "strange", "busy", "bright", "peaceful", "wild"],
    "animals": ["hens", "cats", "goldfish", "snails in a box", "white mice", "ducks", "pigeons"],
    "hobby": [
        "climbing trees", "singing old songs", "counting the stars", "drawing ships", "walking in the rain",
        "collecting feathers", "reading by the fire", "telling riddles", "feeding the hens", "swimming", "whistling",
        "looking at maps",
    ],
    "fear": ["the dark", "thunder", "deep water", "the neighbour's bull", "spiders", "getting lost", "the cold cellar"],
    "relative": ["brother", "sister", "cousin", "neighbour", "best friend"],
    "weather": ["sunny", "windy", "misty", "rainy", "snowy", "frosty", "warm", "stormy", "golden", "grey"],
    "hour": ["morning", "afternoon", "evening", "day in spring", "day in autumn", "Sunday", "market day", "holiday"],
    "plot": {"[lost]": 4, "[gift]": 3, "[rescue]": 3},
    # A thing is lost, looked for with a friend, and found.
    "lost": [
        "{hero.she} took {hero.her} {thing=toy} outside to play. [mishap] [sorrow] [meeting] "
        "\"What have you lost?\" [asked] {friend.the}. \"My {thing},\" [said] {hero}. [offer][aside] [tries] [found]"
    ],
    "mishap": [
        "Suddenly the wind blew hard, and the {thing.short} was gone.",
        "On the way back {hero.she} noticed that the {thing.short} was missing.",
        "{hero.She} put it down for a moment, and then it was nowhere to be seen.",
        "A [thief] snatched the {thing.short} and ran away with it.",
    ],
    "thief": ["magpie", "goat", "monkey from the circus", "naughty puppy"],
    "asked": ["asked", "wondered", "said"],
    "sorrow": {
        "{hero} sat down and cried.": 2,
        "{hero} did not cry, but {hero.her} heart was heavy.": 2,
        "\"Oh no!\" [said] {hero}.": 2,
        "For a while {hero} only stared at the [ground].": 1,
    },
    "ground": ["grass", "empty road", "clouds", "water"],
    "meeting": [
        "Just then {friend=animal} came along.",
        "Soon {hero.she} met {friend=animal}.",
        "Behind the fence stood {friend=animal}.",
    ],
    "offer": [
        "\"Let us look for it together.\"",
        "\"I have good eyes, and I will help you.\"",
        "\"If you share your lunch with me, I will help.\" So they shared [food] and set out.",
    ],
    "food": ["an apple", "some bread", "a boiled egg", "a piece of cheese", "two carrots", "a handful of nuts"],
    "tries": {"[try]": 3, "[try] [tries]": 5},
    "try": [
        "They looked [corner], but found only [rubbish].",
        "They asked [stranger], who [knew_nothing].",
        "{hero} searched [corner] and came back with [rubbish].",
    ],
    "corner": [
        "in the garden", "along the river", "behind the school", "in the cellar", "on the stairs", "near the pond",
        "in the hayloft", "around the fountain", "beyond the gate", "below the window",
    ],
    "rubbish": [
        "an old shoe", "a rusty nail", "three feathers", "a broken cup", "an empty nest", "a lost button",
        "a torn letter",
        "half a comb", "a smooth stone", "a candle end",
    ],
    "stranger": [
        "the baker", "the postman", "a passing sailor", "two sisters", "the night watchman", "a shepherd",
        "the clockmaker",
    ],
    "knew_nothing": [
        "had seen nothing", "shook the head and yawned", "pointed the wrong way", "only laughed", "was far too busy",
    ],
    "found": [
        "At last {friend.the} called out, and there, {spot=spot}, lay the {thing.short}. \"Thank you,\" said {hero}, "
        "\"I would never have looked {spot}.\" [thanks]"
    ],
    "thanks": [
        "From then on {friend.the} was allowed to borrow the {thing.short} every [hour].",
        "{hero} let {friend.the} hold the {thing.short} all the way home.",
        "That night {friend.the} slept next to the {thing.short}.",
    ],
    # Something is cooked for somebody, and a guest turns up.
    "gift": [
        "{hero.she} decided to make {dish=dish} for {hero.her} {elder=elder}. {hero.She} needed [parts]. "
        "[cooking][aside] "
        "Before {dish.the} could be served, {friend=animal} [knocked]. \"I am [hungry],\" [said] {friend.the}. "
        "[sharing] "
        "When {hero.her} {elder.relation} came and saw {dish.the}, [praise]"
    ],
    "parts": {"[extra] and {last=part}": 3, "[extra], [parts]": 4},
    "extra": [
        "two eggs", "a lemon", "a bit of parsley", "dried plums", "pepper", "a bowl of berries", "a fresh onion",
        "honey",
    ],
    "cooking": [
        "The kitchen soon smelled [smell].",
        "{hero.She} stirred and stirred until {hero.her} arms were tired.",
        "At first there was too much {last.bare}, but {hero} only laughed and began again.",
        "There was no {last.bare} in the house, so {hero.she} ran to [stranger] and borrowed it.",
    ],
    "smell": ["wonderful", "of summer", "like a feast", "a little burnt", "sweet and warm"],
    "knocked": [
        "knocked at the door", "looked in at the window", "came down the chimney", "crept out from behind the stove",
    ],
    "sharing": [
        "{hero} cut off a large piece and gave it away.",
        "{hero} thought for a while, and then set one more place at the table.",
        "\"Then you shall eat with us,\" said {hero}.",
        "\"First help me to wash up,\" said {hero}, and {friend.the} washed every [vessel].",
    ],
    "hungry": ["hungry", "so hungry", "cold and hungry", "only a guest", "always invited", "your new neighbour"],
    "vessel": ["spoon", "plate", "pan", "bowl"],
    "praise": [
        "there were tears of joy.",
        "everybody clapped, even {friend.the}.",
        "nobody spoke until it was eaten.",
        "{hero} was given a kiss and a new {thing=toy}. The {thing.short} is still in the house today.",
    ],
    # An animal is helped, and helps in return.
    "rescue": [
        "{hero.she} found {friend=animal} {trouble=trouble}. \"Help me,\" [said] {friend.the}, \"and I will not "
        "forget it.\" "
        "[effort] and {friend.the} came {trouble.free}.[aside] \"Take this {thing=toy},\" [said] {friend.the}. "
        "\"[use].\" "
        "[later] {hero} remembered the {thing.short}. [return]"
    ],
    "effort": [
        "{hero} pulled with both hands,", "{hero} ran for [tool] and worked for an hour,", "{hero} called [stranger],",
        "It took all {hero.her} courage,",
    ],
    "tool": ["a rope", "a ladder", "a lamp", "a saw", "a long pole"],
    "use": [
        "When you are in need, hold it up", "Show it to the moon, and I will come", "Keep it until you are lost",
        "Never give it away",
    ],
    "later": [
        "A [while] later {hero} was far from home when night fell. Then",
        "The next [while] a great flood came to the house {home}. Then",
        "After a [while] {hero} fell ill, and nobody knew a cure. Then",
        "One [while] passed, and {hero} lost the way in the forest. Then",
    ],
    "while": ["week", "month", "year", "winter"],
    "return": [
        "At once {friend.the} stood there and led {hero.him} to safety.",
        "Before {hero.she} could count to [count], {friend.the} had come with [helpers].",
        "It began to shine, and by its light {friend.the} found {hero.him}.",
    ],
    "count": ["three", "seven", "ten", "a hundred"],
    "helpers": [
        "all the animals of the forest", "a boat", "forty cousins", "a warm blanket", "a lantern and some soup",
    ],
    "ending": [
        "At night {hero} went to bed in the house {home}, [mood].",
        "{hero} and {friend.the} stayed friends for [span].",
        "If you ever come to the house {home}, ask for {hero}, and {hero.she} will tell you the story of {friend.the}.",
        "That evening, {home}, {hero} [evening] and thought: [moral].",
    ],
    "mood": [
        "tired but happy", "too happy to sleep", "and slept until noon", "and dreamed of [dream]",
        "with a full stomach",
    ],
    "dream": ["flying", "a ship with [count] sails", "{friend.the}", "the [colour] sky"],
    "span": ["many years", "the rest of their lives", "as long as anyone can remember", "a whole summer"],
    "evening": ["lit a candle", "looked out of the window", "wrote it all down", "drank hot milk", "lay awake"],
    "moral": [
        "a friend is worth more than gold", "it is good to ask for help", "what you give comes back to you",
        "nothing is lost for ever", "the smallest can be the strongest", "tomorrow will be another fine day",
    ],
}  # fmt: skip
