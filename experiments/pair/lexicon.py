"""Word lists of the procedural corpus.

Every list is a pool of single words.  No word stands in two pools and no fact word is used by
the wordings (a test holds both), so a word found in a text can be credited to one fact alone.
Order matters: facts are drawn by index, so a reordered list is another corpus.
"""

from typing import Final

NAMES: Final = tuple(
    """
    Ada Agnes Aidan Alba Albert Alina Amara Amelie Anders Anika Anton Arlo Astrid Aurora Axel
    Basil Beatrix Bella Benno Bianca Bjorn Boris Bruno Callum Camilla Carlos Carmen Cecil Celia
    Clara Clement Cora Cyrus Dagmar Damian Daphne Dario Delia Desmond Diego Dora Edgar Edith
    Elena Elias Elodie Emil Enid Enzo Erica Esther Fabian Felix Fiona Flora Floyd Freya Frida
    Gareth Gemma Gilbert Gloria Greta Gustav Hamish Hanna Harriet Hector Heidi Helga Henrik
    Hilda Hugo Ida Ignatius Ilse Imogen Ines Ingrid Irene Isaac Ivan Jasper Jelena Jerome Joan
    Jonas Judith Julius Kamal Karin Kasper Katya Keiko Kendra Kirsten Klaus Lars Laszlo Leila
    Lena Leopold Linus Lionel Lorenzo Lotte Lucian Luisa Lydia Mabel Magnus Malcolm Marco Margot
    Marius Marta Matilda Maxim Mehmet Mildred Milo Mina Miriam Moritz Nadia Naomi Nelson Nico
    Nigel Nina Noel Nora Octavia Odette Olaf Olga Orson Oscar Otto Pablo Paloma Pascal Percy
    Petra Philippa Phoebe Piotr Quentin Rafael Ramona Raoul Regina Remy Renata Roland Romeo
    Rosa Rufus Rupert Sabine Salma Samir Saskia Selma Sergio Sigrid Silas Simone Sonja Stefan
    Stella Svetlana Sybil Tamara Tariq Tessa Theo Tilda Tobias Tristan Ulrich Ursula Valerie
    Vera Victor Viola Wanda Wilma Winston Xavier Yara Yusuf Yvonne Zelda Zoe
    """.split()
)

CITIES: Final = tuple(
    """
    Aachen Aberdeen Accra Adelaide Algiers Amman Amsterdam Ankara Antwerp Athens Atlanta Auckland
    Austin Baghdad Baku Bangkok Barcelona Basel Beirut Belfast Belgrade Bergen Berlin Bern Bilbao
    Bogota Bologna Bordeaux Boston Bremen Brisbane Bristol Brno Brussels Bucharest Budapest Cairo
    Calgary Cardiff Casablanca Chennai Chicago Cologne Copenhagen Cork Dakar Dallas Darwin Delhi
    Denver Dhaka Doha Dortmund Dresden Dublin Dundee Durban Edinburgh Florence Frankfurt Gdansk
    Geneva Genoa Ghent Glasgow Granada Graz Hamburg Hanoi Harare Havana Helsinki Hobart Houston
    Istanbul Jakarta Kampala Karachi Kathmandu Kyiv Kigali Kingston Kyoto Lagos Lausanne Leeds
    Leipzig Lima Linz Lisbon Liverpool Ljubljana London Lusaka Lyon Madrid Malaga Manchester
    Manila Marseille Melbourne Memphis Miami Milan Minsk Montreal Moscow Mumbai Munich Nairobi
    Nantes Naples Nicosia Osaka Oslo Ottawa Oxford Palermo Paris Perth Phoenix Pisa Porto Prague
    Quito Rabat Reykjavik Riga Rome Rotterdam Salzburg Santiago Seattle Seoul Seville Shanghai
    Singapore Sofia Stockholm Stuttgart Sydney Taipei Tallinn Tbilisi Tehran Tirana Tokyo Toronto
    Toulouse Trieste Tripoli Tunis Turin Utrecht Valencia Vancouver Venice Vienna Vilnius Warsaw
    York Zagreb Zurich
    """.split()
)

JOBS: Final = tuple(
    """
    accountant actor actuary admiral animator archaeologist architect archivist astronomer
    auctioneer auditor baker barber barista beekeeper biologist blacksmith botanist brewer
    bricklayer broker builder butcher butler captain cardiologist carpenter cartographer cashier
    chauffeur chemist choreographer clerk clown coach cobbler comedian composer conductor
    consultant cook coroner courier curator dancer dentist designer detective diplomat director
    diver doctor driver economist editor electrician engineer engraver farmer farrier
    firefighter fisherman florist forester geologist glazier goldsmith governor grocer
    hairdresser harpist historian hypnotist illustrator inspector interpreter inventor janitor
    jeweller jockey journalist judge juggler landlord lawyer lecturer librarian lifeguard
    linguist locksmith magician mason mathematician mechanic merchant midwife milkman miner
    model musician nanny navigator notary novelist nurse optician painter paramedic pharmacist
    philosopher photographer physicist pianist pilot plumber poet porter postman potter printer
    producer professor programmer psychologist publisher ranger receptionist referee reporter
    roofer saddler sailor sculptor secretary shepherd singer soldier solicitor statistician
    steward surgeon surveyor tailor tanner teacher technician therapist translator tutor
    typist umpire undertaker upholsterer vet violinist waiter watchmaker weaver welder
    zookeeper
    """.split()
)

HOBBIES: Final = tuple(
    """
    acrobatics aerobics algebra angling archery astrology athletics backgammon badminton ballet
    baseball basketball bingo birdwatching blogging boating botany bowling boxing breakdancing
    bridge calligraphy canoeing carpentry cartooning caving charades checkers cheerleading chess
    climbing collage cricket crochet croquet crosswords curling cycling dancing darts decoupage
    dodgeball dominoes drawing drumming embroidery etching falconry fencing filming fishing
    flying foraging frisbee gardening geocaching geology gliding golf gymnastics handball
    hiking hockey horology hunting hurling jazz jogging judo juggling karaoke karate kayaking
    kickboxing knitting lacrosse limbo macrame mahjong marbles meditation mountaineering
    mycology needlepoint netball opera orienteering origami paddling paintball parachuting
    parkour patchwork philately photography pilates pinball poetry poker polo pottery puppetry
    puzzles quilting quizzes rafting rapping reading riding robotics rollerskating rowing rugby
    running sailing salsa scouting scrapbooking scrabble sculling sewing shooting singing
    skateboarding skating sketching skiing skydiving sledging snooker snorkelling snowboarding
    soccer softball squash stargazing sudoku surfing swimming taekwondo tango tapestry tennis
    theatre trampolining trekking trivia unicycling volleyball walking waltzing weightlifting
    whittling windsurfing woodwork wrestling yachting yoga zumba
    """.split()
)

WORDS: Final = tuple(
    """
    absolutely admittedly alas allegedly altogether amazingly anyhow apparently arguably
    assuredly astonishingly basically blimey bravo briefly brilliantly broadly candidly
    certainly charmingly clearly coincidentally comically commendably conceivably consequently
    crikey curiously decidedly definitely delightfully demonstrably doubtless eminently
    emphatically enchantingly encouragingly essentially eureka evidently exactly exceedingly
    fabulously factually famously fantastically finally firstly fittingly flawlessly
    fortunately frankly fundamentally funnily generally genuinely gladly golly gosh gracefully
    gratifyingly happily heartily hilariously honestly hooray hopefully hurrah ideally
    impressively incidentally incredibly indeed indisputably inevitably interestingly ironically
    jolly joyfully justifiably lastly literally logically luckily magically magnificently
    manifestly marvellously memorably mercifully miraculously mysteriously namely naturally
    nevertheless nicely notably objectively obviously oddly openly ostensibly outrageously
    overall paradoxically patently perfectly perhaps personally plainly possibly precisely
    predictably presumably primarily probably properly quite rarely really reassuringly
    refreshingly regrettably remarkably reportedly rightly roughly sadly seemingly seriously
    significantly simply sincerely splendidly strangely strikingly superbly supposedly surely
    surprisingly technically thankfully theoretically totally touchingly tremendously truly
    truthfully ultimately unbelievably undeniably understandably undoubtedly unexpectedly
    unquestionably usually utterly verily virtually vividly voila whimsically wholly wonderfully
    wow yikes yippee
    """.split()
)

SIGN_OFF_STARTS: Final = tuple(
    """
    best bright cosy dear eternal fond gentle golden happy kind merry quiet sunny warm wild
    """.split()
)
SIGN_OFF_ENDS: Final = tuple(
    """
    blessings cheers dreams embraces greetings hugs regards salutes smiles thoughts waves wishes
    """.split()
)

THING_ADJECTIVES: Final = tuple(
    """
    amber ancient arched braided bubbly carved chunky clever compact crooked curly curved dainty
    dappled dented double dusty elegant enormous faded fancy fluffy folded fragile glossy
    hollow humble jagged knotted layered little lopsided lucky massive misty modern mossy
    narrow oval padded plump polished portable quilted ribbed rippled round rugged rustic shiny
    silent slanted sleek slender smoky speckled spiral square striped sturdy tapered tilted
    tiny twisted velvet vintage wavy woven
    """.split()
)

THING_NOUNS: Final = tuple(
    """
    abacus apron armchair backpack banjo basket bathtub bench blanket bookcase bottle bowl
    bracelet broom bucket candle canister carpet chest clock comb compass cradle cup curtain
    cushion drawer drum easel fan flute fountain frame goblet guitar hammer hammock harp
    helmet jar jug kettle kite ladder lamp lantern locket mirror mug necklace pencil pillow
    pitcher plate purse radio sandal scarf shelf sofa spoon stool suitcase table teapot
    telescope toolbox trunk umbrella vase wagon wallet whistle
    """.split()
)

MAKERS: Final = tuple(
    """
    Abelard Bartlett Bexley Birkett Blythe Bramwell Brenner Caldwell Carrow Chilton Corvin Crane
    Dalby Darrow Denholm Dorset Draper Eckhart Elford Elkins Fairfax Farrell Fenwick Finch Forsyth
    Gadsby Garrick Gorman Gresham Hadley Halford Harker Haskell Hobbs Holloway Ibsen Irvine
    Jarvis Jessop Keller Kendrick Kimball Lambert Langley Larkin Lindqvist Lomax Marlow Mercer
    Merrick Morley Norwood Oakley Osborne Pembroke Pickard Prescott Quimby Radley Redfern Ridley
    Rowland Sanders Selwyn Shelby Stanton Sutcliffe Talbot Thorne Underhill Vaughan Wadsworth
    Walden Wetherby Whitlock Winslow Yardley Zeller
    """.split()
)

MATERIALS: Final = tuple(
    """
    acrylic alabaster aluminium ash bamboo basalt beech birch bone brass bronze burlap canvas
    cardboard cedar ceramic chalk cherrywood chrome clay concrete copper cotton crystal
    denim ebony enamel felt fibreglass flannel glass granite hemp horn iron ivory jade jute
    larch leather limestone linen mahogany maple marble nickel nylon oak onyx paper pewter pine
    plaster plastic porcelain quartz rattan resin rubber sandstone satin silk slate spruce steel
    straw suede teak terracotta tin titanium tweed walnut wax wicker willow wool zinc
    """.split()
)

COLOURS: Final = tuple(
    """
    apricot aqua auburn azure beige black blond blue blush brown burgundy buttercup caramel
    carmine celadon cerulean charcoal chartreuse chestnut cobalt coral cream crimson cyan
    damson ebonised ecru emerald fawn fuchsia gold green grey hazel heather indigo jasmine khaki
    lavender lemon lilac lime magenta maroon mauve mint mustard navy ochre olive orange orchid
    peach pink plum puce purple red rose ruby russet rust saffron sage salmon sapphire scarlet
    sepia sienna silver tan taupe teal tomato turquoise umber vanilla vermilion violet white
    yellow
    """.split()
)

ORIGINS: Final = tuple(
    """
    Albania Algeria Argentina Armenia Australia Austria Belgium Bolivia Brazil Bulgaria Burma
    Cambodia Canada Chile China Colombia Croatia Cuba Cyprus Denmark Ecuador Egypt England
    Estonia Ethiopia Fiji Finland France Gambia Georgia Germany Ghana Greece Guatemala Haiti
    Hungary Iceland India Indonesia Iran Iraq Ireland Israel Italy Jamaica Japan Jordan Kenya
    Korea Laos Latvia Lebanon Libya Lithuania Malta Mexico Moldova Mongolia Morocco Namibia
    Nepal Nigeria Norway Oman Pakistan Panama Peru Poland Portugal Romania Russia Rwanda
    Scotland Senegal Serbia Slovakia Slovenia Spain Sudan Sweden Switzerland Syria Taiwan
    Tanzania Thailand Tunisia Turkey Uganda Ukraine Uruguay Vietnam Wales Yemen Zambia Zimbabwe
    """.split()
)

USES: Final = tuple(
    """
    anniversaries auctions balconies banquets barbecues bedrooms birthdays breakfasts brunches
    cabins camping carnivals castles cellars ceremonies chapels christenings cinemas classrooms
    commuting concerts cottages deserts dinners excursions expeditions fairs farms feasts ferries
    festivals fireplaces forests funerals galas galleries garages gardens graduations
    greenhouses guesthouses harbours hallways holidays honeymoons hospitals hotels islands
    jubilees kitchens laboratories libraries lounges lunches marathons markets meadows museums
    nurseries offices orchards parades parties patios picnics playgrounds pubs receptions
    restaurants retreats reunions rooftops schools seasides stables studios suppers taverns
    temples terraces trains tours verandas vineyards weddings workshops
    """.split()
)
