package jsonbody_test

import (
	"errors"
	"fmt"

	"github.com/errwire/errwire/internal/jsonbody"
)

func ExampleSyntaxError() {
	body := []byte("{\n  \"model\": \"größe\" \"input\": {}\n}")

	_, err := (&jsonbody.Checker{}).Check(nil, body)
	fmt.Println(err)

	if wrong, ok := errors.AsType[*jsonbody.SyntaxError](err); ok {
		fmt.Println(wrong.Offset, wrong.Line, wrong.Column, wrong.Expected)
	}
	// Output:
	// invalid JSON at line 2, column 20 (byte 23): expected a comma or a closing brace
	// 23 2 20 a comma or a closing brace
}

func ExamplePosition() {
	body := []byte("{\n  \"model\": 4\n}")
	c := jsonbody.Checker{Fields: []string{"model"}}
	values, err := c.Check(nil, body)
	if err != nil {
		fmt.Println(err)
		return
	}
	line, column := jsonbody.Position(body, values[0].Start)
	fmt.Printf("line %d, column %d: a string was expected, not a %s\n", line, column, values[0].Kind)
	// Output:
	// line 2, column 12: a string was expected, not a number
}
