package otelhook

import (
	"net/http"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/classify"
)

// Every field of a Transport is taken over, those that are yet to come too.
func TestTransportIsTakenOverWhole(t *testing.T) {
	like := &classify.Transport{Budget: classify.Unlimited{}, Gate: &classify.Pacer{}, Classifier: &classify.Classifier{}}
	v := reflect.ValueOf(like).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		if !f.CanSet() || !f.IsZero() {
			continue
		}
		switch f.Kind() {
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Int, reflect.Int64:
			f.SetInt(7)
		case reflect.Func:
			f.Set(reflect.MakeFunc(f.Type(), func([]reflect.Value) []reflect.Value { return nil }))
		case reflect.Interface:
			// Base and Observer are given.
		default:
			require.Fail(t, "a field of a new kind", v.Type().Field(i).Name)
		}
	}
	var taken transport
	taken.take(like, http.NewFileTransport(nil), &hook{})
	got := reflect.ValueOf(&taken.Transport).Elem()
	for i := range got.NumField() {
		if name := got.Type().Field(i); name.IsExported() {
			require.False(t, got.Field(i).IsZero(), "%s is forgotten", name.Name)
		}
	}
}
