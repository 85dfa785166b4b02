package middleware

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
)

// KeyDigest is the SHA-256 of an API key: what a server stores in place of the key. API keys are long and random, so that a plain
// digest is enough; a password would need a slow one. Its text form is 64 hex digits.
type KeyDigest [sha256.Size]byte

// DigestOf returns the digest of key.
func DigestOf(key string) KeyDigest { return sha256.Sum256([]byte(key)) }

// String returns the digest in lower-case hex.
func (d KeyDigest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText returns what [KeyDigest.String] returns. It never fails.
func (d KeyDigest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

var errDigest = errors.New("middleware: a key digest has only hex digits")

// UnmarshalText reads 64 hex digits of either case. Any other text is an error that does not repeat it, and leaves d as it was.
func (d *KeyDigest) UnmarshalText(text []byte) error {
	var read KeyDigest
	if len(text) != hex.EncodedLen(len(read)) {
		return fmt.Errorf("middleware: a key digest has %d hex digits, not %d bytes", hex.EncodedLen(len(read)), len(text))
	}
	if _, err := hex.Decode(read[:], text); err != nil {
		return errDigest // that of hex repeats a byte of the text, which may be a key by mistake
	}
	*d = read
	return nil
}

// Keys finds what belongs to an API key, such as its account, without holding any key. Make it with [NewKeys]; nil and the zero
// value hold none. It never changes and is safe for concurrent use.
type Keys[T any] struct {
	byPrefix map[digestPrefix][]keyed[T]
}

type digestPrefix [8]byte

type keyed[T any] struct {
	digest KeyDigest
	value  T
}

// NewKeys returns the keys whose digests are given. It copies the map, not the values.
func NewKeys[T any](byDigest map[KeyDigest]T) *Keys[T] {
	k := &Keys[T]{byPrefix: make(map[digestPrefix][]keyed[T], len(byDigest))}
	for digest, value := range byDigest {
		prefix := digestPrefix(digest[:])
		k.byPrefix[prefix] = append(k.byPrefix[prefix], keyed[T]{digest: digest, value: value})
	}
	return k
}

// Lookup returns what belongs to key, and whether there is something.
//
// The caller chooses the key but not its digest, so the time of the search by the first bytes of the digest teaches nothing. The rest is
// compared in constant time, once for an unknown key as for a known one.
func (k *Keys[T]) Lookup(key string) (T, bool) {
	var none T
	digest := DigestOf(key)
	var stored []keyed[T]
	if k != nil {
		stored = k.byPrefix[digestPrefix(digest[:])]
	}
	if len(stored) == 0 {
		var zero KeyDigest
		subtle.ConstantTimeCompare(zero[:], digest[:])
		return none, false
	}
	for i := range stored {
		if subtle.ConstantTimeCompare(stored[i].digest[:], digest[:]) == 1 {
			return stored[i].value, true
		}
	}
	return none, false
}
