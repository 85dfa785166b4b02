package jsonbody_test

import (
	"errors"
	"fmt"

	"github.com/errwire/errwire/internal/jsonbody"
)

func ExampleChecker_Check() {
	c := jsonbody.Checker{Fields: []string{"model", "input"}}
	for _, body := range []string{
		`{"model":"google/nano-banana-2","input":{"prompt":"a lighthouse"}}`,
		`{"model":"first","input":[],"\u006dodel":"last"}`,
		`{"Model":"m"}`,
		`["model"]`,
		`{"model":"m",}`,
	} {
		var buf [2]jsonbody.Value // keeps the result off the heap
		values, err := c.Check(buf[:0], []byte(body))
		switch {
		case errors.Is(err, jsonbody.ErrNotObject):
			fmt.Println("not an object:", err)
		case err != nil:
			fmt.Println(err)
		default:
			model, input := values[0], values[1]
			fmt.Printf("model %s %q, input %s\n", model.Kind, model.Text([]byte(body)), input.Kind)
		}
	}
	// Output:
	// model string "google/nano-banana-2", input object
	// model string "last", input array
	// model absent "", input absent
	// not an object: top level is not an object
	// invalid JSON at line 1, column 14 (byte 13): expected a field name in double quotes
}

func ExampleValue_Text() {
	body := []byte(`{"model":"gr\u00f6\u00dfe\/\ud83d\ude42"}`)
	c := jsonbody.Checker{Fields: []string{"model"}}
	values, err := c.Check(nil, body)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(values[0].Text(body))
	fmt.Println(string(body[values[0].Start:values[0].End]))
	// Output:
	// größe/🙂
	// "gr\u00f6\u00dfe\/\ud83d\ude42"
}

func ExampleKind_String() {
	fmt.Println(jsonbody.Absent, jsonbody.Object, jsonbody.Bool)
	// Output:
	// absent object boolean
}
