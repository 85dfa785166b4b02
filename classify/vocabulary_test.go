package classify

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// judgeSlowly is what prose.find means: each phrase of each rule, in order, at each word.
func judgeSlowly(p *prose, group statuses) int {
	p.setAside()
	words := make([]string, len(p.words))
	for i := range words {
		words[i] = string(p.word(i))
	}
	for i := range proseRules {
		r := &proseRules[i]
		if r.on&group == 0 {
			continue
		}
		for _, text := range r.phrases {
			parts := phraseParts(text)
			for at := range words {
				if fitsSlowly(parts, words[at:]) {
					return i
				}
			}
		}
		for _, w := range r.cjk {
			if p.foreign && strings.Contains(string(p.buf), w) {
				return i
			}
		}
	}
	return -1
}

func fitsSlowly(parts, words []string) bool {
	if len(parts) == 0 {
		return true
	}
	if gap := map[string]int{"~": 3, "~~": 8}[parts[0]]; gap > 0 {
		for skip := range min(gap, len(words)) + 1 {
			if fitsSlowly(parts[1:], words[skip:]) {
				return true
			}
		}
		return false
	}
	if len(words) == 0 {
		return false
	}
	if parts[0] == "$" && strings.HasPrefix(words[0], "$") {
		return fitsSlowly(parts[1:], words[1:])
	}
	for alt := range strings.SplitSeq(parts[0], "|") {
		stem, open := strings.CutSuffix(alt, "*")
		if (words[0] == alt || open && strings.HasPrefix(words[0], stem)) && fitsSlowly(parts[1:], words[1:]) {
			return true
		}
	}
	return false
}

var allGroups = []statuses{on2xx, on400, on401, on402, on403, on404, on409, on413, on429, on500, on503, onTime}

func requireSameJudgement(t *testing.T, s string) {
	t.Helper()
	p := takeProse()
	defer putProse(p)
	p.add(s)
	for _, group := range allGroups {
		require.Equal(t, judgeSlowly(p, group), p.find(group, 0), "group %d of %q", group, s)
	}
}

// The index finds what looking for each phrase everywhere finds, in texts as they are and in such that are made of the words of the
// phrases.
func TestVocabularyFindsTheSame(t *testing.T) {
	for _, s := range readSamples(t, "testdata/responses.jsonl") {
		requireSameJudgement(t, s.Body)
	}
	r := rand.New(rand.NewPCG(1, 2))
	words := slices.DeleteFunc(slices.Clone(vocab().words), func(w string) bool { return w == "" })
	for range 50 {
		var b strings.Builder
		for range 40 {
			w := words[r.IntN(len(words))]
			if stem, open := strings.CutSuffix(w, "*"); open {
				w = stem + []string{"", "ed", "s"}[r.IntN(3)]
			}
			b.WriteString(w + []string{" ", " ", "-", ". ", " the "}[r.IntN(5)])
		}
		requireSameJudgement(t, b.String())
	}
}

func TestVocabularyNumbersItsWords(t *testing.T) {
	v := vocab()
	require.Less(t, len(v.elements), 1<<15, "elements are int16")
	require.Less(t, len(v.words), 1<<15)
	for id, w := range v.words {
		switch stem, open := strings.CutSuffix(w, "*"); {
		case id == 0:
		case open:
			require.GreaterOrEqual(t, len(stem), prefixLen, w)
			require.Equal(t, wordID(id), v.lookup(roomy("xx", stem+"zzz")))
		default:
			require.Equal(t, wordID(id), v.lookup(roomy("xx", w)), w)
		}
	}
	require.Zero(t, v.lookup(roomy("", "zzz")))
	require.Zero(t, v.lookup(roomy("", "a-word-that-nobody-would-use-in-any-phrase")))
	require.True(t, slices.IsSortedFunc(v.starts[v.lookup(roomy("", "exceeded"))], func(a, b phrase) int { return a.rule - b.rule }))
}

// roomy returns before and word in a buffer as long as prose uses, and where the word begins.
func roomy(before, word string) ([]byte, int) {
	return append(append(make([]byte, 0, maxProse), before...), word...), len(before)
}

func FuzzVocabulary(f *testing.F) {
	f.Add("Rate limit reached for requests. Try again in 3s.")
	f.Add("exceeded your current quota/limit — 余额不足 ‘x’")
	f.Add("http://x.y/quota exceeded violates policy; security policy")
	f.Fuzz(requireSameJudgement)
}
