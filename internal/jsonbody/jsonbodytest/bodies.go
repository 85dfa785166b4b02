// Package jsonbodytest holds what the tests of package jsonbody and the comparison
// with other libraries share: request bodies to measure with, and a table of bodies
// on which JSON readers are known to disagree.
package jsonbodytest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
)

// Body is a valid request body to measure with. Its top level is an object with
// "model", a string, and "input", an object.
type Body struct {
	Name string // short and without white space, for the name of a benchmark
	Data []byte
}

// Bodies returns the bodies that the speed of the check is stated for. They come
// from fixed seeds: every call returns the same bytes, newly made.
//
//   - 150B: a short prompt
//   - 4KB: a plain ASCII chat
//   - 64KB: a chat in which every fifth word is followed by an escape sequence
//     and every fourth is not ASCII (two, three and four byte sequences)
//   - 1MB: tool schemas nested 30 levels deep, compact
//   - 1MB-indented: the same kind of schemas as a person would print them
//   - 8MB: one image in base64
func Bodies() []Body {
	return []Body{
		{"150B", short()},
		{"4KB", chat(4<<10, plainWord)},
		{"64KB", chat(64<<10, mixedWord)},
		{"1MB", tools(1 << 20)},
		{"1MB-indented", indented(1 << 20)},
		{"8MB", image(8 << 20)},
	}
}

func short() []byte {
	return []byte(`{"model":"google/nano-banana-2","input":{"prompt":"a lighthouse on a cliff at dusk, ` +
		`long exposure, film grain, 35 mm","seed":7,"size":"1K"}}`)
}

var plainWords = strings.Fields(`the model answers a question about how many tokens fit into one
	request and why the gateway refused it with a short message before any work began on the
	server so that nobody pays for nothing while streams continue elsewhere`)

var otherWords = strings.Fields(`größe überprüfung señor naïve привет сообщение запрос Ελληνικά λόγος
	東京都 設定を変更 请求 模型回答 안녕하세요 응답 שלום مرحبا नमस्ते 🙂 🚀🚀 café`)

var escapes = []string{`\n`, `\"`, `\\`, `\t`, `\n\n`, `\u00e9`, `\u2019`, `\ud83d\ude00`, `\/`}

func plainWord(r *rand.Rand, b *bytes.Buffer) { b.WriteString(plainWords[r.IntN(len(plainWords))]) }

func mixedWord(r *rand.Rand, b *bytes.Buffer) {
	if r.IntN(4) == 0 {
		b.WriteString(otherWords[r.IntN(len(otherWords))])
	} else {
		plainWord(r, b)
	}
	if r.IntN(5) == 0 {
		b.WriteString(escapes[r.IntN(len(escapes))])
	}
}

func chat(size int, word func(*rand.Rand, *bytes.Buffer)) []byte {
	r := rand.New(rand.NewPCG(1, uint64(size)))
	var b bytes.Buffer
	b.WriteString(`{"model":"meta/llama-4-maverick","stream":true,"temperature":0.7,"input":{"messages":[`)
	for n := 0; b.Len() < size; n++ {
		if n > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"role":%q,"content":"`, []string{"user", "assistant"}[n%2])
		for k := 30 + r.IntN(90); k > 0 && b.Len() < size-8; k-- {
			word(r, &b)
			b.WriteByte(' ')
		}
		b.WriteString(`"}`)
	}
	b.WriteString(`]}}`)
	return b.Bytes()
}

// schema writes a JSON Schema object whose properties nest down to the level given.
func schema(r *rand.Rand, b *bytes.Buffer, level, levels int) {
	words := func(n int) {
		for k := range n {
			if k > 0 {
				b.WriteByte(' ')
			}
			plainWord(r, b)
		}
	}
	b.WriteString(`{"type":"object","description":"`)
	words(3 + r.IntN(9))
	b.WriteString(`","properties":{`)
	for n := 1 + r.IntN(3); n > 0; n-- {
		fmt.Fprintf(b, `"%s_%d":`, plainWords[r.IntN(len(plainWords))], r.IntN(100))
		switch r.IntN(4) {
		case 0:
			fmt.Fprintf(b, `{"type":"string","minLength":%d,"maxLength":%d,"description":"`, r.IntN(3), 8+r.IntN(4000))
			words(2 + r.IntN(12))
			b.WriteString(`"}`)
		case 1:
			fmt.Fprintf(b, `{"type":"integer","minimum":%d,"maximum":%d,"default":null}`, -r.IntN(100), r.IntN(100000))
		case 2:
			fmt.Fprintf(b, `{"type":"number","multipleOf":%.3f,"exclusiveMinimum":%t}`, r.Float64(), r.IntN(2) == 0)
		default:
			b.WriteString(`{"type":"string","enum":[`)
			for k := range 2 + r.IntN(6) {
				if k > 0 {
					b.WriteByte(',')
				}
				b.WriteByte('"')
				plainWord(r, b)
				b.WriteByte('"')
			}
			b.WriteString(`]}`)
		}
		b.WriteByte(',')
	}
	b.WriteString(`"child":`)
	if level < levels {
		// A schema opens two levels: itself and its properties.
		schema(r, b, level+2, levels)
	} else {
		b.WriteString(`{"type":"array","items":{"type":"boolean"}}`)
	}
	b.WriteString(`},"required":["child"],"additionalProperties":false}`)
}

func tools(size int) []byte {
	r := rand.New(rand.NewPCG(2, uint64(size)))
	var b bytes.Buffer
	b.WriteString(`{"model":"meta/llama-4-maverick","input":{"messages":[{"role":"user","content":"go"}],"tools":[`)
	for n := 0; b.Len() < size; n++ {
		if n > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"type":"function","function":{"name":"tool_%d","strict":true,"parameters":`, n)
		schema(r, &b, 6, 28)
		b.WriteString(`}}`)
	}
	b.WriteString(`]}}`)
	return b.Bytes()
}

func indented(size int) []byte {
	var b bytes.Buffer
	// The source is valid by construction; were it not, b would be cut short and no test would accept it.
	_ = json.Indent(&b, tools(size/4), "", "  ")
	return b.Bytes()
}

func image(size int) []byte {
	r := rand.New(rand.NewPCG(3, uint64(size)))
	raw := make([]byte, size/4*3)
	for i := range raw {
		raw[i] = byte(r.Uint32())
	}
	b := []byte(`{"model":"google/nano-banana-2","input":{"prompt":"make it blue","image":"data:image/png;base64,`)
	b = base64.StdEncoding.AppendEncode(b, raw)
	return append(b, `"}}`...)
}
