package classify

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

func TestRuleSpendIsWhereItIs(t *testing.T) {
	require.Equal(t, "spend limit", proseRules[ruleSpend].name)
}

func TestKnownWordsAreSortedAndSourced(t *testing.T) {
	require.True(t, slices.IsSortedFunc(knownWords[:], func(a, b knownWord) int { return strings.Compare(a.stem, b.stem) }))
	var buf [64]byte
	for i, k := range knownWords {
		require.Equal(t, k.stem, string(foldWord(k.stem, &buf)), "not a stem")
		require.NotEmpty(t, k.source, k.stem)
		require.NotEqual(t, errcodes.ClassUnknown, k.class, k.stem)
		if i > 0 {
			require.NotEqual(t, knownWords[i-1].stem, k.stem, "twice")
		}
	}
}

// Each row decides, alone, under a status that leaves it room.
func TestEachKnownWordDecides(t *testing.T) {
	for _, k := range knownWords {
		for _, spelled := range []string{k.stem, k.stem + "_error", strings.ToUpper(k.stem) + "Exception"} {
			body := `{"error":{"code":"` + spelled + `","message":"-"}}`
			status := 400
			if k.class == errcodes.ClassServerError {
				status = 500
			}
			d := (*Classifier)(nil).Body(status, nil, []byte(body))
			require.Equal(t, "known: "+k.stem, d.Rule, spelled)
			require.Equal(t, k.class, d.Class, spelled)
			require.Equal(t, spelled, d.Code)
		}
	}
}

// Each phrase of each rule is found where it stands, in every status group that the rule holds for; nothing is
// shadowed as a whole by a rule before it.
func TestEachPhraseIsFound(t *testing.T) {
	example := map[statuses]int{on2xx: 200, on400: 400, on403: 403, on409: 409, on413: 413, on429: 429, on500: 500, on503: 502, onTime: 504}
	for i := range proseRules {
		r := &proseRules[i]
		own := 0
		for _, text := range r.phrases {
			var words []string
			for _, part := range phraseParts(text) {
				if strings.HasPrefix(part, "~") {
					continue
				}
				first, _, _ := strings.Cut(part, "|")
				if first == "$" {
					first = "$5"
				}
				words = append(words, strings.TrimSuffix(first, "*"))
			}
			sentence := strings.Join(words, " ")
			p := takeProse()
			p.add("Sorry: " + sentence + ".")
			best := len(proseRules)
			for group := range example {
				if r.on&group != 0 {
					if got := p.judge(group); got >= 0 {
						best = min(best, got)
					}
				}
			}
			putProse(p)
			require.LessOrEqual(t, best, i, "%s: %q is not found", r.name, sentence)
			if best == i {
				own++
			}
		}
		require.Positive(t, own, "%s: all phrases belong to rules before it", r.name)
	}
}

// TestWhatDecides counts what each rule and each row of the table decides, and lists those that decide nothing. A prose
// rule that decides nothing at all has no reason to be there.
func TestWhatDecides(t *testing.T) {
	samples := readSamples(t, "testdata/responses.jsonl")
	const more = "../../shared/corpus/dev.jsonl"
	if _, err := os.Stat(more); err == nil {
		samples = append(samples, readSamples(t, more)...)
	}
	decided := make(map[string]int)
	for _, s := range samples {
		decided[(*Classifier)(nil).Body(s.Status, s.header(), []byte(s.Body)).Rule]++
	}
	for _, s := range readSayings(t) {
		decided[s.judge(t).Rule]++
	}
	var lines []string
	for rule, n := range decided {
		lines = append(lines, fmt.Sprintf("%4d  %s", n, rule))
	}
	sort.Sort(sort.Reverse(sort.StringSlice(lines)))
	t.Log("decides:\n" + strings.Join(lines, "\n"))
	idle := 0
	for _, k := range knownWords {
		if decided["known: "+k.stem] == 0 {
			idle++
			t.Logf("decides nothing here: known: %s (%s)", k.stem, k.source)
		}
	}
	t.Logf("%d of %d rows of the table decide nothing here; TestEachKnownWordDecides holds each", idle, len(knownWords))
	for i := range proseRules {
		require.Positive(t, decided["text: "+proseRules[i].name]+decided["name: "+proseRules[i].name], "the rule %q decides nothing", proseRules[i].name)
	}
}

// What each registry's rows say on the wire comes back as the row.
func TestRegistriesComeBack(t *testing.T) {
	for _, r := range []*errcodes.Registry{
		errcodes.RunInfra(), errcodes.Runbase(), errcodes.OpenAI(), errcodes.Anthropic(), errcodes.Google(), errcodes.Problem(),
	} {
		for e := range r.All() {
			body := r.Dialect().Append(nil, e.Body(nil, "req_1"))
			d := (&Classifier{Registries: []*errcodes.Registry{r}}).Body(e.Status, nil, body)
			name := r.Name() + " " + string(e.Code)
			require.Equal(t, e.Class, d.Class, name)
			require.Equal(t, e.Retry, d.Retry, name)
			require.Equal(t, e.MaybeExecuted, d.Safety == MaybeExecuted, name)
			require.Equal(t, e.Message, d.Message, name)
			require.Equal(t, e.Status, d.Status, name)
			if r.Dialect().Slots()&errcodes.SlotCode != 0 && r.Name() != "google" && r.Name() != "problem" {
				require.Equal(t, e.WireCode(), d.Code, name)
			}
			require.Contains(t, d.Rule, "registry "+r.Name(), name)
		}
	}
}

// Without a registry the seeds' errors are understood all the same, but for what only their pages say.
func TestSeedsWithoutRegistry(t *testing.T) {
	for _, r := range []*errcodes.Registry{errcodes.RunInfra(), errcodes.Runbase(), errcodes.OpenAI(), errcodes.Anthropic()} {
		for e := range r.All() {
			if e.Retry == errcodes.RetryChanged || e.Code == errcodes.ClientClosed {
				continue
			}
			body := r.Dialect().Append(nil, e.Body(nil, ""))
			d := (*Classifier)(nil).Body(e.Status, nil, body)
			require.Equal(t, e.Retry == errcodes.RetryNever, d.Retry == errcodes.RetryNever, "%s %s: %s by %s", r.Name(), e.Code, d.Retry, d.Rule)
		}
	}
}

// A refusal to be asked again leaves a failure that may have been executed what its row makes of it, for one attempt.
func TestVetoOfWhatMayHaveBeenExecuted(t *testing.T) {
	d := (&Classifier{Registries: []*errcodes.Registry{errcodes.Runbase()}}).Body(500, http.Header{"X-Should-Retry": {"false"}}, nil)
	require.True(t, d.Vetoed)
	require.Equal(t, MaybeExecuted, d.Safety)
	require.Equal(t, errcodes.RetryOnce, d.Retry)
	require.Equal(t, 1, d.MaxAttempts)
}

// Without a code nobody knows which of several providers answered: the decision is never less careful than with one of their registries alone.
func TestSeveralRegistriesAreAsCarefulAsEach(t *testing.T) {
	all := []*errcodes.Registry{errcodes.RunInfra(), errcodes.Runbase(), errcodes.OpenAI(), errcodes.Anthropic(), errcodes.Google(), errcodes.Problem()}
	bodies := []string{"", `{"error":{"message":"An unexpected error occurred"}}`, `{"error":{"message":"The request timed out","type":"server_error"}}`}
	for _, body := range bodies {
		for status := 400; status < 600; status++ {
			var header http.Header
			if status%2 == 0 {
				header = http.Header{"Retry-After": {"1"}}
			}
			for _, a := range all {
				one := (&Classifier{Registries: []*errcodes.Registry{a}}).Body(status, header, []byte(body))
				for _, b := range all {
					if a == b {
						continue
					}
					for _, regs := range [][]*errcodes.Registry{{a, b}, {b, a}} {
						d := (&Classifier{Registries: regs}).Body(status, header, []byte(body))
						if d.Condition != "" {
							continue // a code or a type says whose it is
						}
						require.GreaterOrEqual(t, care(d.Retry), care(one.Retry), "%d %s: %s, %s", status, body, regs[0].Name(), regs[1].Name())
						if one.Safety == MaybeExecuted {
							require.Equal(t, MaybeExecuted, d.Safety, "%d %s: %s, %s", status, body, regs[0].Name(), regs[1].Name())
						}
					}
				}
			}
		}
	}
	for _, tt := range []struct {
		status int
		regs   []*errcodes.Registry
		retry  errcodes.Retry
		safety Safety
		rule   string
	}{
		{500, []*errcodes.Registry{errcodes.Runbase(), errcodes.OpenAI()}, errcodes.RetryOnce, MaybeExecuted, "status"},
		{500, []*errcodes.Registry{errcodes.OpenAI(), errcodes.Anthropic()}, errcodes.RetryOnce, Rejected, "status"},
		{504, []*errcodes.Registry{errcodes.OpenAI(), errcodes.RunInfra()}, errcodes.RetryChanged, Rejected, "registry runinfra: status"},
		{504, []*errcodes.Registry{errcodes.RunInfra(), errcodes.Runbase()}, errcodes.RetryChanged, MaybeExecuted, "registry runinfra: status"},
		{503, []*errcodes.Registry{errcodes.RunInfra(), errcodes.Runbase()}, errcodes.RetryBackoff, Rejected, "status"},
	} {
		d := (&Classifier{Registries: tt.regs}).Body(tt.status, nil, nil)
		require.Equal(t, tt.retry, d.Retry, "%d", tt.status)
		require.Equal(t, tt.safety, d.Safety, "%d", tt.status)
		require.Equal(t, tt.rule, d.Rule, "%d", tt.status)
	}
}

// A POST without a key is not executed twice because a second registry stands beside the one that warns.
func TestSeveralRegistriesAndAPost(t *testing.T) {
	for _, regs := range [][]*errcodes.Registry{{errcodes.Runbase(), errcodes.OpenAI()}, {errcodes.OpenAI(), errcodes.Runbase()}} {
		s := &fakeServer{script: []answer{{status: 500, body: `{"error":{"message":"An unexpected error occurred"}}`}}}
		resp, err := (&Transport{Base: s, NewBackOff: atOnce, Classifier: &Classifier{Registries: regs}}).RoundTrip(post(t, t.Context(), "{}"))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, StopUnsafe, ErrorOf(resp).Stop)
		require.Len(t, s.times, 1)
	}
}

// saying is a line of testdata/sentences.txt.
type saying struct {
	status   int
	class    string
	retry    string
	sentence string
}

func readSayings(t *testing.T) []saying {
	t.Helper()
	data, err := os.ReadFile("testdata/sentences.txt")
	require.NoError(t, err)
	var out []saying
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		parts := strings.SplitN(line, " ", 4)
		require.Len(t, parts, 4, line)
		status, err := strconv.Atoi(parts[0])
		require.NoError(t, err, line)
		out = append(out, saying{status, parts[1], parts[2], parts[3]})
	}
	return out
}

func (s *saying) judge(t *testing.T) Decision {
	t.Helper()
	body, err := json.Marshal(map[string]any{"error": map[string]any{"message": s.sentence, "type": "api_error"}})
	require.NoError(t, err)
	return (*Classifier)(nil).Body(s.status, nil, body)
}

// TestSentences holds what is said in words alone, in as many ways as it may be said.
func TestSentences(t *testing.T) {
	for _, s := range readSayings(t) {
		d := s.judge(t)
		assert.Equal(t, s.class+" "+s.retry, d.Class.String()+" "+d.Retry.String(), "%d %s (rule %q)", s.status, s.sentence, d.Rule)
	}
}

// TestEachPhraseDecides holds that no phrase is there for one case, or for none. Each decides a sentence of ours that no other phrase of its
// rule would; and one that says the same thing in one way only, without another word or a gap, is met in two sentences at least.
func TestEachPhraseDecides(t *testing.T) {
	type place struct{ rule, phrase int }
	met, alone := make(map[place]int), make(map[place]int)
	for _, s := range readSayings(t) {
		p := takeProse()
		p.add(s.sentence)
		l := p.readLimits()
		rule := p.judgeRefusal(groupOf(s.status), &l)
		var fit []int
		if rule >= 0 {
			words := make([]string, len(p.words))
			for i := range words {
				words[i] = string(p.word(i))
			}
			for k, sign := range proseRules[rule].cjk {
				if strings.Contains(string(p.buf), sign) {
					fit = append(fit, -1-k)
				}
			}
			for k, text := range proseRules[rule].phrases {
				parts := phraseParts(text)
				if slices.ContainsFunc(suffixes(words), func(w []string) bool { return fitsSlowly(parts, w) }) {
					fit = append(fit, k)
					met[place{rule, k}]++
				}
			}
		}
		if len(fit) == 1 {
			alone[place{rule, fit[0]}]++
		}
		putProse(p)
	}
	for i := range proseRules {
		for k, text := range proseRules[i].phrases {
			at := place{i, k}
			assert.Positive(t, alone[at], "%s: no sentence needs %q", proseRules[i].name, text)
			if !strings.ContainsAny(text, "|~*@") {
				assert.Greater(t, met[at], 1, "%s: %q is there for one sentence", proseRules[i].name, text)
			}
		}
		for k, sign := range proseRules[i].cjk {
			assert.Positive(t, alone[place{i, -1 - k}], "%s: no sentence needs %q", proseRules[i].name, sign)
		}
	}
}

// suffixes returns words, words from the second on, and so on.
func suffixes(words []string) [][]string {
	out := make([][]string, len(words))
	for i := range words {
		out[i] = words[i:]
	}
	return out
}

// Members that stand for an error and name none are no error.
func TestSuccessesThatNameNoError(t *testing.T) {
	for body, failed := range map[string]bool{
		`{"object":"fine_tuning.job","status":"running","error":{"code":null,"message":null,"param":null}}`: false,
		`{"status":"running","error":{"code":null,"message":"","details":[]}}`:                              false,
		`{"error":"none","ok":true}`:                    false,
		`{"error":"None","ok":true}`:                    false,
		`{"error":"0","data":1}`:                        false,
		`{"error":"ok","data":{}}`:                      false,
		`{"error":[null],"data":{}}`:                    false,
		`{"error":{"code":503}}`:                        true,
		`{"error":{"code":null,"x":[{"message":"m"}]}}`: true,
		`{"error":{"failed":true}}`:                     true,
		`{"error":"nope"}`:                              true,
		`{"error":true}`:                                true,
		`{"ok":false,"error":"none"}`:                   true,
	} {
		d := (*Classifier)(nil).Body(200, nil, []byte(body))
		require.Equal(t, failed, d.Failed(), "%s: %s", body, d.Rule)
	}
}
