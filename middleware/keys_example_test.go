package middleware_test

import (
	"fmt"

	"github.com/errwire/errwire/middleware"
)

func ExampleKeys_Lookup() {
	keys := middleware.NewKeys(map[middleware.KeyDigest]string{middleware.DigestOf("sk-example"): "acme"})
	fmt.Println(keys.Lookup("sk-example"))
	_, ok := keys.Lookup("sk-other")
	fmt.Println(ok)
	// Output:
	// acme true
	// false
}

func ExampleDigestOf() {
	fmt.Println(middleware.DigestOf("abc"))
	// Output: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad
}
