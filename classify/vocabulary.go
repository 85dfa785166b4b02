package classify

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"
	"sync"
)

// A vocabulary knows the words that the rules about prose speak of. Each word of a text is looked up once; from then on words are numbers,
// and a phrase is looked for only where the text has a word for each of its places.

// wordID is the number of a word of the vocabulary; 0 is any other word.
type wordID uint16

// limitUse says what a word means to whoever reads the limits in a text.
type limitUse uint32

const (
	saysLimit    limitUse = 1 << iota // the text speaks of a limit
	saysPer                           // a period follows
	saysEach                          // a period follows if something counted stands before it
	saysDay                           // an allowance of a day or longer
	saysShort                         // one of less than a day
	saysCalendar                      // a day, week or month, perhaps this one
	saysWindow                        // a unit of time, perhaps of a window
	saysAmount                        // the allowance follows
	saysAsked                         // what was asked for follows
	saysLoose                         // daily and the like, which may be said of anything
	saysToday                         // today, the same
	saysNoun                          // what an allowance is, or is counted in
	saysWhose                         // somebody's own
	saysMet                           // a limit was met
	saysMinute                        // a period of less than a day is named
	offers                            // begins an offer: "upgrade to"
	offersMore                        // what is offered is more of something
)

// limitWords are the words that say something about limits.
var limitWords = [...]struct {
	use   limitUse
	words string
}{
	{saysLimit, "limit limits limited quota quotas exceed exceeds exceeded exceeding reached exhausted throttled throttling allocation allowance " +
		"maximum max many free ratelimit ratelimited usage hit queries requests allowed tokens calls"},
	{saysPer, "per / every each"},
	{saysEach, "a an"},
	{saysDay, "rpd tpd byday perday midnight userbymodelbyday tomorrow permonth perweek rpw"},
	{saysLoose, "daily weekly monthly yearly annual"},
	{saysToday, "today todays"},
	{saysNoun, "limit limits limited quota quotas allowance allowances allocation allotment cap caps capped budget usage requests request calls call queries tokens token " +
		"messages credits characters images generations capacity maximum max count volume spend spending throughput neurons searches runs jobs minutes"},
	{saysWhose, "you your youve this account key limits quotas allowance allocation allotment cap free"},
	{saysMet, "exceed exceeds exceeded exceeding reached exhausted throttled hit used consumed depleted over spent sent made many out went ran"},
	{offers, "upgrade upgrading buy purchase add enable activate visit see check contact consult get learn refer go subscribe switch consider unlock increase raise apply " +
		"sign register create need want looking choose move talk email explore ask"},
	{offersMore, "get higher more bigger larger greater unlimited increase increased raise raised enlarge unlock lift remove extend boost faster better extra additional " +
		"upgrade visit see learn contact consult refer talk"},
	{saysShort, "hourly rpm tpm rps qps tps rph tph qpm perminute persecond byminute userbymodelbyminute itpm otpm"},
	{saysCalendar, "month week day year cycle months weeks years"},
	{saysWindow, "hour hours 24h minutes mins minute min days"},
	{saysMinute, "second minute hour min sec rpm tpm rps qps hourly"},
	{saysAmount, "limit quota tpm_limit rpm_limit tpd_limit rpd_limit request_limit token_limit"},
	{saysAsked, "requested"},
}

// asideWords are the words that prose.setAside looks at.
const asideWords = "billing rate budget budgets policy policies credit credits charge balance"

// wordGroups are words that a phrase may name at once, by @ and the name: they mean the same to a rule.
var wordGroups = map[string]string{
	"@money":   "balance|credit|credits|funds|fund|money|wallet",
	"@lack":    "insufficient|empty|exhausted|depleted|negative|gone|zero|low|drained|overdrawn|exceeded|spent",
	"@bill":    "invoice|invoices|payment|payments|bill|bills|dues|fee|fees|charge|charges",
	"@unpaid":  "unpaid|missing|required|overdue|outstanding|pending|failed|declined|rejected|refused|bounced|late|open|unsettled|owed|due|incomplete|unsuccessful",
	"@met":     "exceed*|reached|hit|surpassed|exhausted|passed|met|used|depleted|crossed",
	"@trial":   "trial|demo|lifetime|evaluation|sandbox",
	"@unit":    "gpu|gpus|server|servers|worker|workers|instance|instances|node|nodes|machine|machines|replica|replicas|slot|slots|runner|runners|pod|pods|executor|executors|shard|shards|accelerator|accelerators",
	"@full":    "occupied|full|saturated|taken|busy|overloaded|maximum|max|overcommitted|use",
	"@free":    "available|free|left|ready|idle|allocated|found|assigned",
	"@refused": "blocked|rejected|refused|declined|stopped|withheld|flagged|filtered|denied",
	"@touchy":  "unsafe|harmful|violent|violence|sexual|hateful|offensive|abusive|illegal|inappropriate|toxic|dangerous|nsfw",
}

// phraseParts cuts a phrase into its parts, groups spelled out.
func phraseParts(text string) []string {
	parts := strings.Fields(text)
	for i, part := range parts {
		if strings.Contains(part, "@") {
			words := strings.Split(part, "|")
			for k, word := range words {
				if strings.HasPrefix(word, "@") {
					words[k] = wordGroups[word]
				}
			}
			parts[i] = strings.Join(words, "|")
		}
	}
	return parts
}

// phrase is a compiled phrase of a rule: elements of the vocabulary, and gaps as negative numbers.
type phrase struct {
	rule     int
	elements []int16
}

// vocabulary is built once and never changes.
type vocabulary struct {
	words []string // by wordID; those that end in '*' stand for every word with that beginning that has no number of its own
	slots []wordID // open addressing by hash
	stems []wordID // the words that end in '*', the longest first
	begin [64]bool // whether a stem begins with a letter of that number

	money    wordID     // of an amount of money
	limits   []limitUse // by wordID
	aside    []bool     // by wordID
	elements [][]wordID // the words that fit an element
	fits     [][]int16  // by wordID: the elements it fits
	starts   [][]phrase // by wordID: the phrases that may begin with it
}

var vocab = sync.OnceValue(newVocabulary)

// prefixLen is the length of the shortest beginning in a phrase.
const prefixLen = 6

func newVocabulary() *vocabulary {
	v := &vocabulary{words: []string{""}}
	numbers := make(map[string]wordID)
	number := func(word string) wordID {
		id, ok := numbers[word]
		if !ok {
			id = wordID(len(v.words))
			numbers[word] = id
			v.words = append(v.words, word)
		}
		return id
	}
	for i := range limitWords {
		for w := range strings.FieldsSeq(limitWords[i].words) {
			number(w)
		}
	}
	for w := range strings.FieldsSeq(asideWords) {
		number(w)
	}
	for i := range proseRules {
		for _, text := range proseRules[i].phrases {
			for _, part := range phraseParts(text) {
				if part == "~" || part == "~~" {
					continue
				}
				for alt := range strings.SplitSeq(part, "|") {
					number(alt)
				}
			}
		}
	}
	v.money = numbers["$"]
	v.index()
	v.limits, v.aside = make([]limitUse, len(v.words)), make([]bool, len(v.words))
	for i := range limitWords {
		for w := range strings.FieldsSeq(limitWords[i].words) {
			v.limits[numbers[w]] |= limitWords[i].use
		}
	}
	for w := range strings.FieldsSeq(asideWords) {
		v.aside[numbers[w]] = true
	}
	v.compile(numbers)
	return v
}

// index fills the table that words are looked up in.
func (v *vocabulary) index() {
	size := 1
	for size < 4*len(v.words) {
		size *= 2
	}
	v.slots = make([]wordID, size)
	for id := 1; id < len(v.words); id++ {
		w := v.words[id]
		if strings.HasSuffix(w, "*") {
			v.stems = append(v.stems, wordID(id))
			v.begin[w[0]&63] = true
			continue
		}
		at := hashWord(append(make([]byte, 0, len(w)+8), w...), 0) & uint32(size-1)
		for v.slots[at] != 0 {
			at = (at + 1) & uint32(size-1)
		}
		v.slots[at] = wordID(id)
	}
	slices.SortFunc(v.stems, func(a, b wordID) int { return len(v.words[b]) - len(v.words[a]) })
}

// compile turns the phrases of the rules into elements.
func (v *vocabulary) compile(numbers map[string]wordID) {
	v.fits, v.starts = make([][]int16, len(v.words)), make([][]phrase, len(v.words))
	known := make(map[string]int16)
	for i := range proseRules {
		for _, text := range proseRules[i].phrases {
			p := phrase{rule: i}
			for _, part := range phraseParts(text) {
				switch part {
				case "~":
					p.elements = append(p.elements, -3)
					continue
				case "~~":
					p.elements = append(p.elements, -8)
					continue
				}
				e, ok := known[part]
				if !ok {
					e = int16(len(v.elements))
					known[part] = e
					v.elements = append(v.elements, v.fitting(part, numbers))
					for _, id := range v.elements[e] {
						v.fits[id] = append(v.fits[id], e)
					}
				}
				p.elements = append(p.elements, e)
			}
			for _, id := range v.elements[p.elements[0]] {
				v.starts[id] = append(v.starts[id], p)
			}
		}
	}
}

// fitting returns the words that fit a part of a phrase, such as reach|exceed*.
func (v *vocabulary) fitting(part string, numbers map[string]wordID) []wordID {
	var out []wordID
	for alt := range strings.SplitSeq(part, "|") {
		out = append(out, numbers[alt])
		if stem, open := strings.CutSuffix(alt, "*"); open {
			for id := 1; id < len(v.words); id++ {
				if strings.HasPrefix(v.words[id], stem) {
					out = append(out, wordID(id))
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// hashWord hashes the word buf[start:] by its first and its last eight bytes and its length. The buffer has room for
// eight bytes from start on.
func hashWord(buf []byte, start int) uint32 {
	n := len(buf) - start
	low := binary.LittleEndian.Uint64(buf[start : start+8])
	if n < 8 {
		low &= 1<<(8*n) - 1
		return uint32((low ^ uint64(n)) * 0x9e3779b97f4a7c15 >> 32)
	}
	high := binary.LittleEndian.Uint64(buf[len(buf)-8:])
	return uint32((low ^ bits.RotateLeft64(high, 23) ^ uint64(n)) * 0x9e3779b97f4a7c15 >> 32)
}

// lookup returns the number of the word buf[start:], which is in lower case. See hashWord.
func (v *vocabulary) lookup(buf []byte, start int) wordID {
	w, mask := buf[start:], uint32(len(v.slots)-1)
	for at := hashWord(buf, start) & mask; ; at = (at + 1) & mask {
		id := v.slots[at]
		if id == 0 {
			break
		}
		if v.words[id] == string(w) {
			return id
		}
	}
	if len(w) >= prefixLen && v.begin[w[0]&63] {
		for _, id := range v.stems {
			if stem := v.words[id]; len(w) >= len(stem)-1 && string(w[:len(stem)-1]) == stem[:len(stem)-1] {
				return id
			}
		}
	}
	return 0
}
