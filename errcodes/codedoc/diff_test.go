package codedoc

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

func diff(t *testing.T, r *errcodes.Registry, page string) []string {
	t.Helper()
	drifts, err := Diff(r, strings.NewReader(page))
	require.NoError(t, err)
	got := []string{}
	for _, d := range drifts {
		got = append(got, d.String())
	}
	return got
}

func pageOf(t *testing.T, name string) string {
	t.Helper()
	page, err := os.ReadFile("testdata/" + name + ".md")
	require.NoError(t, err)
	return string(page)
}

func TestSeedsHaveNoDrift(t *testing.T) {
	for _, r := range []*errcodes.Registry{errcodes.Runbase(), errcodes.RunInfra()} {
		require.Empty(t, diff(t, r, pageOf(t, r.Name())), r.Name())
	}
}

// The published pages have lost their table rules, so their facts stand in a list: every status and code of the page is in the
// registry, and the registry has none from the page that is not there.
func TestSeedsFacts(t *testing.T) {
	for _, r := range []*errcodes.Registry{errcodes.Runbase(), errcodes.RunInfra()} {
		t.Run(r.Name(), func(t *testing.T) {
			f, err := os.Open("testdata/" + r.Name() + ".facts")
			require.NoError(t, err)
			defer f.Close()
			want := map[string]bool{}
			for lines := bufio.NewScanner(f); lines.Scan(); {
				if !strings.HasPrefix(lines.Text(), "#") {
					want[lines.Text()] = true
				}
			}
			got := map[string]bool{}
			for e := range r.All() {
				if e.Source == errcodes.SourceErrwire {
					continue
				}
				wire := e.WireCode()
				if wire == "" {
					wire = "-"
				}
				got[strconv.Itoa(e.Status)+" "+wire] = true
			}
			require.Equal(t, want, got)
		})
	}
}

// words of each rule that the planted pages use, in turn.
var ruleWords = map[errcodes.Retry]string{
	errcodes.RetryNever: "no", errcodes.RetryOnce: "once", errcodes.RetryBackoff: "yes, with backoff", errcodes.RetryChanged: "only a changed request",
}

// Every row of the page is changed in every way, one change at a time, and each is found where it is.
func TestRunbasePlanted(t *testing.T) {
	lines := strings.Split(pageOf(t, "runbase"), "\n")
	change := func(i int, with ...string) string {
		return strings.Join(slices.Concat(lines[:i], with, lines[i+1:]), "\n")
	}
	r := errcodes.Runbase()
	heading, rows := 0, 0
	for i, line := range lines {
		if strings.HasPrefix(line, "### ") {
			heading = i
		}
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		rows++
		cells := strings.Split(line, " | ")
		code := strings.Trim(cells[0], "|` ")
		status := lines[heading][4:7]
		entry := r.Match(0, code, "")
		require.Equal(t, code, entry.WireCode())

		// another code
		require.Equal(t, []string{
			fmt.Sprintf(`line %d: code "teapot" (status %s) is on the page and not in the registry`, i+1, status),
			fmt.Sprintf(`code %q (status %s) is in the registry and not on the page`, code, status),
		}, diff(t, r, change(i, strings.Replace(line, code, "teapot", 1))))

		// no row
		require.Equal(t, []string{
			fmt.Sprintf(`code %q (status %s) is in the registry and not on the page`, code, status),
		}, diff(t, r, change(i)))

		// one more row
		require.Equal(t, []string{
			fmt.Sprintf(`line %d: code "teapot" (status %s) is on the page and not in the registry`, i+2, status),
		}, diff(t, r, change(i, line, "| `teapot` | it is one | brew coffee elsewhere | no |")))

		// another case
		require.Len(t, diff(t, r, change(i, strings.Replace(line, code, swapCase(code), 1))), 2)

		// another rule
		for rule, words := range ruleWords {
			cells[3] = words + " |"
			want := []string{}
			if rule != entry.Retry {
				want = append(want, fmt.Sprintf(`line %d: code %q (status %s) has retry rule %q on the page and %q in the registry`,
					i+1, code, status, rule, entry.Retry))
			}
			require.Equal(t, want, diff(t, r, change(i, strings.Join(cells, " | "))))
		}

		// no rule
		cells[3] = "|"
		require.Equal(t, []string{
			fmt.Sprintf(`line %d: code %q (status %s) has no retry rule on the page and %q in the registry`, i+1, code, status, entry.Retry),
		}, diff(t, r, change(i, strings.Join(cells, " | "))))

		// another status
		got := diff(t, r, change(heading, "### 418 Teapot"))
		require.Contains(t, got, fmt.Sprintf(`line %d: code %q has status 418 on the page and %s in the registry`, i+1, code, status))
		for _, d := range got {
			require.Contains(t, d, "has status 418 on the page and "+status+" in the registry")
		}
	}
	require.Equal(t, 13, rows)

	// the status without a code
	page := pageOf(t, "runbase")
	require.Equal(t, []string{
		`line 51: status 501 is on the page and not in the registry`,
		`status 500 is in the registry and not on the page`,
	}, diff(t, r, strings.Replace(page, "### 500 ", "### 501 ", 1)))
	require.Equal(t, []string{
		`status 500 is in the registry and not on the page`,
	}, diff(t, r, strings.Replace(page, "### 500 ", "### ", 1)))
}

func swapCase(s string) string {
	if upper := strings.ToUpper(s); upper != s {
		return upper
	}
	return strings.ToLower(s)
}

func TestRunInfraPlanted(t *testing.T) {
	lines := strings.Split(pageOf(t, "runinfra"), "\n")
	change := func(i int, with ...string) string {
		return strings.Join(slices.Concat(lines[:i], with, lines[i+1:]), "\n")
	}
	r := errcodes.RunInfra()
	rows := 0
	for i, line := range lines {
		if strings.HasPrefix(line, "### ") && line[4] != '2' {
			status := line[4:7]
			// A status that only the table names is still on the page.
			want := []string{fmt.Sprintf("line %d: status 418 is on the page and not in the registry", i+1)}
			if status == "400" { // the table of types below takes over the new status
				want = []string{fmt.Sprintf(`line %d: type "invalid_request_error" has status 418 on the page and 400 in the registry`, i+7)}
			}
			require.Equal(t, want, diff(t, r, change(i, "### 418 Teapot")))
		}
		if !strings.HasPrefix(line, "| ") || line[2] < '0' || line[2] > '9' {
			continue
		}
		rows++
		cells := strings.Split(line, " | ")
		statuses := strings.Split(strings.TrimPrefix(cells[0], "| "), ", ")
		retries := func(line string, page string) []string {
			want := []string{}
			for _, s := range statuses {
				status, err := strconv.Atoi(s)
				require.NoError(t, err)
				at := line
				if at == "" { // no row is left that has the rule: the heading stands for it
					at = fmt.Sprintf("line %d: ", 1+slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "### "+s) }))
				}
				of := "status " + s
				if s == "400" && line == "" {
					of, at = `type "invalid_request_error" (status 400)`, "line 17: "
				}
				want = append(want, fmt.Sprintf(`%s%s has %s on the page and %q in the registry`, at, of, page, r.Match(status, "", "").Retry))
			}
			return want
		}
		here := fmt.Sprintf("line %d: ", i+1)

		// no row: the headings have the statuses, and nothing has their rule
		require.Equal(t, retries("", "no retry rule"), diff(t, r, change(i)))

		// another status
		got := diff(t, r, change(i, strings.Replace(line, statuses[0], "418", 1)))
		require.Contains(t, got, here+"status 418 is on the page and not in the registry")
		require.Len(t, got, 2)

		// one more row
		require.Equal(t, []string{fmt.Sprintf("line %d: status 418 is on the page and not in the registry", i+2)},
			diff(t, r, change(i, line, "| 418 | No | Brew |")))

		// another rule
		own := r.Match(mustAtoi(t, statuses[0]), "", "").Retry
		for rule, words := range ruleWords {
			want := []string{}
			if rule != own {
				want = retries(here, fmt.Sprintf("retry rule %q", rule))
			}
			require.Equal(t, want, diff(t, r, change(i, fmt.Sprintf("| %s | %s | |", strings.Join(statuses, ", "), words))))
		}
		require.Equal(t, retries(here, `retry rule "perhaps"`), diff(t, r, change(i, "| "+strings.Join(statuses, " / ")+" | perhaps | |")))
	}
	require.Equal(t, 5, rows)
}

func mustAtoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	require.NoError(t, err)
	return n
}

// small is a registry whose documented rows are few enough to write pages about.
func small(t *testing.T, d errcodes.Dialect) *errcodes.Registry {
	t.Helper()
	const page = "Page, 2026-11-21"
	r, err := errcodes.New("small", d,
		errcodes.Entry{Code: "bad_json", Status: 400, Type: "bad", Message: "m", Source: page},
		errcodes.Entry{Code: "slow_down", Status: 429, Type: "limit", Message: "m", Retry: errcodes.RetryBackoff, Source: page},
		errcodes.Entry{Code: "no_quota", Status: 429, Type: "quota", Message: "m", Source: page},
		errcodes.Entry{Code: "internal", Wire: errcodes.NoCode, Status: 500, Type: "api", Message: "m", Retry: errcodes.RetryOnce, Source: page},
	)
	require.NoError(t, err)
	return r
}

// The same facts in every form that providers write them in.
func TestDiffTolerates(t *testing.T) {
	for name, page := range map[string]string{
		"plain": `
| Status | Code | Retry |
|---|---|---|
| 400 | bad_json | No |
| 429 | slow_down | Yes |
| 429 | no_quota | No |
| 500 | | Once |`,
		"order, alignment, no outer pipes, windows line ends": "\ufeff" + strings.ReplaceAll(`
Retryable | What happened | Error code | HTTP status | Fix
:--- | :---: | ---: | - | -
no | x | bad_json | 400 | change the request
yes | x | slow_down | 429 | wait
never | x | no_quota | 429 | pay
once | x | – | 500 | report
`, "\n", "\r\n"),
		"markup": `
| **HTTP** | [Code](#codes) | *Retry* |
|---|---|---|
| [400](#400) | **` + "`bad_json`" + `** | ~~No~~ ❌ |
| ` + "`429` Too Many Requests" + ` | [` + "`slow_down`" + `](https://example.com/a_(b)) | <b>Yes</b> |
| __429__ | no\_quota[^1] | No \| never |
| 500&nbsp;Internal | (none) | _Once_ |`,
		"headings": `
## Errors

### 400 Bad Request

| Code | Retry |
|---|---|
| bad_json | no |

### 429 – Too Many Requests
#### For a rate
| Code | Retry |
|---|---|
| slow_down | yes |
#### For money
| Code | Retry |
|---|---|
| no_quota | no |

### Server errors (500)

| Situation | Retry |
|---|---|
| it broke | once |
`,
		"underlined headings": `
400 Bad Request
---
| Code |
|---|
| bad_json |

HTTP 429
===
| Code |
|---|
| slow_down |
| no_quota |

---

500
---
Ours.
`,
		"empty cells below a status": `
| Status | Code | Retry |
|---|---|---|
| 400 | bad_json | no
| 429 | slow_down | yes
| | no_quota | no
| 500 | - | once`,
		"lists": `
| Status | Code | Meaning |
|---|---|---|
| 400 | bad_json | x |
| 429 | slow_down, no_quota | x |
| 500 | n/a | x |

| Status | Retry |
|---|---|
| 400 | No |
| 4xx, 500 | depends on the code |

| Code | Retry |
|---|---|
| bad_json or no_quota | No |
| slow_down | Yes |`,
		"numbers as codes": `
| Code | Overview |
|---|---|
| 400 - ` + "`bad_json`" + ` | Your JSON is wrong |
| 429 slow_down | x |
| 429 - ` + "`no_quota`" + ` | x |
| 500 - We failed | x |`,
		"codes as statuses, as Google has them": `
| HTTP Code | Status | Retry |
|---|---|---|
| 400 | bad_json | No |
| 429 | slow_down | Yes |
| 429 | no_quota | No |
| 500 | | Once |`,
		"types": `
| Status | Type | Retry |
|---|---|---|
| 400 | bad | No |
| 429 | limit | Yes |
| 429 | quota | No |
| 500 | api | Once |

| Code | Type |
|---|---|
| bad_json | bad |
| slow_down | limit, quota |
| no_quota | quota |`,
		"a range, a heading of two": `
## 4xx

| Code |
|---|
| bad_json |

## 429 and 500

| Code | Type |
|---|---|
| slow_down | limit |
| no_quota | quota |
| | api |
`,
		"what is not the page": "---\ntitle: x\n---\n" + `
<!-- | 418 | teapot | -->
<!--
| Status | Code |
|---|---|
| 418 | teapot |
--> <!-- a --> ` + "`<!--` is how a comment begins" + `

` + "````md\n```\n| Status | Code |\n|---|---|\n| 418 | teapot |\n```\n````\n~~~\n| 418 |\n~~~" + `

> | Status | Code |
> |---|---|
> | 400 | bad_json |
> | 429 | slow_down, no_quota |
> | 500 | |

## 200 Success

| Code | Retry |
|---|---|
| created | no |

| Field | Type |
|---|---|
| model | string or null |

| Status | Meaning |
|---|---|
| running | wait for it |
| 201 | made |

| Country code | Name |
|---|---|
| XK | Kosovo |

| Header | Sent with |
|---|---|
| Retry-After | 429 |

## Elsewhere

| Plan | Retry budget |
|---|---|
| free | once |
- not a row
`,
	} {
		t.Run(name, func(t *testing.T) {
			want := []string{}
			if name == "lists" {
				want = []string{
					`line 11: status 400 has retry rule "depends on the code" on the page and "never" in the registry`,
					`line 11: status 429 has retry rule "depends on the code" on the page and "backoff, never" in the registry`,
					`line 11: status 500 has retry rule "depends on the code" on the page and "once" in the registry`,
				}
			}
			require.Equal(t, want, diff(t, small(t, errcodes.OpenAIDialect{}), page))
		})
	}
}

func TestDiffFinds(t *testing.T) {
	const rest = "\n| 400 | bad_json | No |\n| 429 | slow_down | Yes |\n| 429 | no_quota | No |\n| 500 | | Once |\n"
	const head = "| Status | Code | Retry |\n|---|---|---|" + rest
	for _, tt := range []struct {
		name, page string
		want       []string
	}{
		{"a code of this library that the provider has come to state", head + "| 413 | body_too_large | No |\n", nil},
		{"and states otherwise", head + "| 422 | body_too_large | Yes |\n", []string{
			`line 7: code "body_too_large" has status 422 on the page and 413 in the registry`,
			`line 7: code "body_too_large" (status 422) has retry rule "backoff" on the page and "never" in the registry`,
		}},
		{"one more status of a code", strings.Replace(head, "| 400 |", "| 400, 422 |", 1), []string{
			`line 3: code "bad_json" has status 422 on the page and 400 in the registry`,
		}},
		{"a type that the code has not", head + "\n| Code | Type |\n|---|---|\n| bad_json | limit |\n| no_quota | nothing_known |", []string{
			`line 10: code "bad_json" has type limit on the page and bad in the registry`,
			`line 11: code "no_quota" has type nothing_known on the page and quota in the registry`,
		}},
		{"an unknown type", head + "\n| Type | Status |\n|---|---|\n| api | 500 |\n| api_v2 | 500 |\n", []string{
			`line 11: type "api_v2" (status 500) is on the page and not in the registry`,
		}},
		{"a type renamed", head + "\n| Type | Status |\n|---|---|\n| api_v2 | 500 |\n", []string{
			`line 10: type "api_v2" (status 500) is on the page and not in the registry`,
			`type "api" (status 500) is in the registry and not on the page`,
		}},
		{"a type with another status", head + "\n| Type | Status |\n|---|---|\n| api | 503 |\n", []string{
			`line 10: type "api" has status 503 on the page and 500 in the registry`,
		}},
		{"a type with another rule", head + "\n| Type | Retry |\n|---|---|\n| api | yes |\n", []string{
			`line 10: type "api" has retry rule "backoff" on the page and "once" in the registry`,
		}},
		{"a rule for a status that is wrong for one of its codes",
			"| Status | Code |\n|---|---|\n| 400 | bad_json |\n| 429 | slow_down |\n| 429 | no_quota |\n\n" +
				"| Status | Retry |\n|---|---|\n| 429 | Yes |\n| 400 | No |\n| 500 | Once |\n", []string{
				`line 9: status 429 has retry rule "backoff" on the page and "never" in the registry`,
			}},
		{"a range", head + "\n| Status | Retry |\n|---|---|\n| 5xx | Yes |\n| 3xx | No |\n| 520-530 | Yes |\n| 540-550 | Yes |\n", []string{
			`line 10: status 500 has retry rule "backoff" on the page and "once" in the registry`,
			`line 13: status 540 is on the page and not in the registry`,
		}},
		{"a heading of two statuses that the code has not", head + "\n## 402 and 403\n| Code |\n|---|\n| bad_json |\n", []string{
			`line 11: code "bad_json" has status 402 on the page and 400 in the registry`,
			`line 11: code "bad_json" has status 403 on the page and 400 in the registry`,
		}},
		{"codes that shrank to sentences", "# 429\n\n# 400\n\n# 500\n", []string{
			`code "bad_json" (status 400) is in the registry and not on the page`,
			`code "slow_down" (status 429) is in the registry and not on the page`,
			`code "no_quota" (status 429) is in the registry and not on the page`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.want == nil {
				tt.want = []string{}
			}
			require.Equal(t, tt.want, diff(t, small(t, errcodes.OpenAIDialect{}), tt.page))
		})
	}
}

// Two rows of one code, told apart by their types: a page that has one status or rule for both is wrong about one.
func TestDiffRowsOfOneCode(t *testing.T) {
	r, err := errcodes.New("two", errcodes.OpenAIDialect{},
		errcodes.Entry{Code: "a", Wire: "exhausted", Type: "rate", Status: 429, Message: "m", Retry: errcodes.RetryBackoff, Source: "P"},
		errcodes.Entry{Code: "b", Wire: "exhausted", Type: "quota", Status: 403, Message: "m", Source: "P"},
	)
	require.NoError(t, err)
	require.Equal(t, []string{
		`line 3: code "exhausted" has status 429 on the page and 403 in the registry`,
	}, diff(t, r, "| Status | Code |\n|---|---|\n| 429 | exhausted |\n"))
	require.Equal(t, []string{
		`line 3: code "exhausted" has retry rule "backoff" on the page and "never" in the registry`,
	}, diff(t, r, "| Code | Retry |\n|---|---|\n| exhausted | yes |\n"))
	require.Empty(t, diff(t, r, "| Type | Code | Retry |\n|---|---|---|\n| rate | exhausted | yes |\n| quota | exhausted | no |\n"))
}

// A dialect has the words that it has, whatever the page calls its columns.
func TestDiffSlots(t *testing.T) {
	require.Equal(t, []string{
		`line 4: type "nothing_known" (status 400) is on the page and not in the registry`,
	}, diff(t, errcodes.RunInfra(), "| Status | Code |\n|---|---|\n| 400 | invalid_request_error |\n| 400 | nothing_known |\n"+
		"| 401, 403, 404, 429 | |\n| 500 | |\n| 503 | |\n| 504 | |\n"))

	require.Contains(t, diff(t, errcodes.Runbase(), "| Status | Type |\n|---|---|\n| 400 | invalid_json |\n| 400 | nothing_known |\n"),
		`line 4: code "nothing_known" (status 400) is on the page and not in the registry`)

	require.Equal(t, []string{
		`line 3: code "a" (status 400) is on the page and not in the registry`,
		`line 4: type "b" (status 400) is on the page and not in the registry`,
	}, diff(t, nil, "| Status | Code | Type |\n|---|---|---|\n| 400 | a | |\n| 400 | | b |\n"))
}

func TestDiffErrors(t *testing.T) {
	const head = "| Status | Code |\n|---|---|\n"
	many := strings.Repeat("400, ", 33)
	for _, tt := range []struct{ name, page, want string }{
		{"empty", "", `codedoc: page has no Markdown table and no heading about errors`},
		{"no table", "invalid_jsonRequest body is not valid JSON", `codedoc: page has no Markdown table and no heading about errors`},
		{"another table", "| Plan | Price |\n|---|---|\n| a | 400 |\n", `codedoc: page has no Markdown table and no heading about errors`},
		{"too long", strings.Repeat("x", MaxPage+1), `codedoc: page is longer than 1048576 bytes`},
		{"not text", "\xff\xfe", `codedoc: page is not valid UTF-8`},
		{"no delimiter row", "| Status | Code |\n| 400 | bad_json |\n",
			`codedoc: line 1: row "| Status | Code |" stands in no table: its header or delimiter row is missing`},
		{"a blank line within", head + "| 400 | bad_json |\n\n| 429 | slow_down |\n",
			`codedoc: line 5: row "| 429 | slow_down |" stands in no table: its header or delimiter row is missing`},
		{"a delimiter row of another width", "| Status | Code |\n|---|---|---|\n",
			`codedoc: line 1: header has 2 cells and the delimiter row below it 3`},
		{"a delimiter row without hyphens", "| Status | Code |\n| : | - |\n",
			`codedoc: line 1: row "| Status | Code |" stands in no table: its header or delimiter row is missing`},
		{"a row cut short", "| Code | Status |\n|---|---|\n| bad_json |\n| |\n| bad json |\n",
			`codedoc: line 5: code or type "bad json" is not 1 to 64 bytes of [A-Za-z0-9_.-]`},
		{"many columns", strings.Repeat("| Code ", 65) + "|\n" + strings.Repeat("|-", 65) + "|\n" + strings.Repeat("|\n", 1000),
			`codedoc: line 1: table has more than 64 columns`},
		{"many headings", strings.Repeat("# 400\n", maxFacts+1), `codedoc: line 65537: page states more than 65536 values`},
		{"a cell too many", head + "| 400 | bad_json | or not |\n",
			`codedoc: line 3: row has 3 cells and its header 2; a pipe inside a cell is written \|`},
		{"a status that is none", head + "| 400 | bad_json |\n| 4000 | bad_json |\n", `codedoc: line 4: status "4000" is not 100 to 599`},
		{"a code that is none", head + "| 400 | bad json |\n",
			`codedoc: line 3: code or type "bad json" is not 1 to 64 bytes of [A-Za-z0-9_.-]`},
		{"a long cell", head + "| 400 | " + strings.Repeat("é", 99) + " |\n",
			`codedoc: line 3: code or type "` + strings.Repeat("é", 30) + `..." is not 1 to 64 bytes of [A-Za-z0-9_.-]`},
		{"text that GitHub takes for a row", head + "| 400 | bad_json |\nThis follows.\n", `codedoc: line 4: status "This follows." is not 100 to 599`},
		{"a list without end", head + "| " + many + " | bad_json |\n", `codedoc: line 3: row lists more than 32 values`},
		{"a heading without end", "## " + many + "\n", `codedoc: line 1: heading names more than 32 statuses`},
		{"an open fence", head + "```\n| 400 | bad_json |\n", `codedoc: line 3: code fence is never closed`},
		{"an open comment", head + "<!--\n| 400 | bad_json |\n", `codedoc: line 3: comment is never closed`},
		{"too much", head + strings.Repeat("|400,401,402|"+strings.Repeat("a,", 32)+"|\n", 1000),
			`codedoc: line 685: page states more than 65536 values`},
		{"too much together", strings.Repeat(head+strings.Repeat("|400,401,402|"+strings.Repeat("a,", 32)+"|\n", 600)+"\n", 2),
			`codedoc: line 604: page states more than 65536 values`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			drifts, err := Diff(small(t, errcodes.OpenAIDialect{}), strings.NewReader(tt.page))
			require.EqualError(t, err, tt.want)
			require.Nil(t, drifts)
		})
	}

	cut := errors.New("connection cut")
	_, err := Diff(errcodes.Runbase(), iotest.ErrReader(cut))
	require.ErrorIs(t, err, cut)
	require.EqualError(t, err, "codedoc: read page: connection cut")
}

// A page of exactly the limit is read.
func TestDiffLimit(t *testing.T) {
	page := pageOf(t, "runbase")
	page += strings.Repeat("x", MaxPage-len(page))
	require.Empty(t, diff(t, errcodes.Runbase(), page))
}

func FuzzDiff(f *testing.F) {
	for _, name := range []string{"runbase", "runinfra"} {
		page, err := os.ReadFile("testdata/" + name + ".md")
		require.NoError(f, err)
		f.Add(string(page))
	}
	f.Add("# 5xx\n| Code | Type | Retry |\n|-|-|-|\n| [a](b) | `c` | yes |\n")
	f.Add("| HTTP | Status |\n|-|-|\n| 400-499 | RESOURCE_EXHAUSTED |\n")
	f.Add("---\n---\n<!--\n-->\n```\n```\n| a |\n|-|\n")
	f.Fuzz(func(t *testing.T, page string) {
		for _, r := range []*errcodes.Registry{nil, errcodes.Runbase(), errcodes.Google()} {
			drifts, err := Diff(r, strings.NewReader(page))
			if err != nil {
				require.Nil(t, drifts)
				require.True(t, strings.HasPrefix(err.Error(), "codedoc: "))
				continue
			}
			again, err := Diff(r, strings.NewReader(page))
			require.NoError(t, err)
			require.Equal(t, drifts, again)
			seen := map[Drift]bool{}
			for i, d := range drifts {
				require.False(t, seen[d], d)
				seen[d] = true
				require.Equal(t, d.Kind == KindRemoved, d.Line == 0, d)
				require.LessOrEqual(t, d.Line, strings.Count(page, "\n")+1, d)
				require.NotEqual(t, d.Page, d.Registry, d)
				require.True(t, d.Status == 0 || d.Status >= 400 && d.Status <= 599, d)
				if i > 0 && d.Line > 0 {
					require.LessOrEqual(t, drifts[i-1].Line, d.Line)
				}
			}
		}
	})
}
