package middleware

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/go-playground/validator/v10"
)

// wording puts a broken rule into words. It asks validator for the rule, its limit and the kind of the value, never for the value.
type wording struct {
	validator.FieldError

	parent reflect.Type // the struct around the field, nil for none
	lender reflect.Type // the embedded struct that the value is, nil for none
	top    reflect.Type // the whole body
	own    map[string]string
}

var timeType = reflect.TypeFor[time.Time]()

// predicate returns what the field must be, as it follows the name of the field.
func (w *wording) predicate() string {
	tag, param := w.Tag(), w.Param()
	if s, ok := w.own[tag]; ok {
		return s
	}
	if tag == "required" && w.lender != nil {
		return "must have " + w.lent()
	}
	if s := w.words(tag, param); s != "" {
		return s
	}
	// An alias, or alternatives.
	if s, ok := w.own[w.ActualTag()]; ok {
		return s
	}
	var said []string
	for rule := range strings.SplitSeq(w.ActualTag(), "|") {
		name, limit, limited := strings.Cut(rule, "=")
		if !limited && w.ActualTag() == rule {
			limit = param
		}
		s, ok := w.own[name]
		if !ok {
			s = w.words(name, limit)
		}
		if s == "" {
			// A rule of the server's own without words. Its name is the best there is.
			return fmt.Sprintf("does not keep to the rule %q", tag)
		}
		said = append(said, s)
	}
	for i := range said[1:] {
		said[i+1] = strings.TrimPrefix(said[i+1], "must be ")
	}
	return enumerate(said, "or")
}

// words returns the predicate of a rule that is built into validator, "" for any other.
func (w *wording) words(tag, param string) string {
	if s, ok := fixedWords[tag]; ok {
		return s
	}
	switch tag {
	case "len", "eq":
		return w.measure(tag, "must be", "must have exactly", param)
	case "min", "gte":
		return w.measure(tag, "must be at least", "must have at least", param)
	case "max", "lte":
		return w.measure(tag, "must be at most", "must have at most", param)
	case "gt":
		return w.measure(tag, "must be more than", "must have more than", param)
	case "lt":
		return w.measure(tag, "must be less than", "must have fewer than", param)
	case "ne":
		return w.measure(tag, "must not be", "must not have exactly", param)
	case "eq_ignore_case":
		return fmt.Sprintf("must be %q in any case", param)
	case "ne_ignore_case":
		return fmt.Sprintf("must not be %q in any case", param)
	case "oneof":
		return "must be one of " + list(param)
	case "oneofci":
		return "must be one of " + list(param) + ", in any case"
	case "noneof":
		return "must be none of " + list(param)
	case "noneofci":
		return "must be none of " + list(param) + ", in any case"
	case "contains":
		return fmt.Sprintf("must contain %q", param)
	case "containsany":
		return fmt.Sprintf("must contain at least one of the characters %q", param)
	case "containsrune":
		return fmt.Sprintf("must contain the character %q", param)
	case "excludes":
		return fmt.Sprintf("must not contain %q", param)
	case "excludesall":
		return fmt.Sprintf("must not contain any of the characters %q", param)
	case "excludesrune":
		return fmt.Sprintf("must not contain the character %q", param)
	case "startswith":
		return fmt.Sprintf("must start with %q", param)
	case "endswith":
		return fmt.Sprintf("must end with %q", param)
	case "startsnotwith":
		return fmt.Sprintf("must not start with %q", param)
	case "endsnotwith":
		return fmt.Sprintf("must not end with %q", param)
	case "datetime":
		return fmt.Sprintf("must be a time in the form %q", param)
	case "mimetype":
		return "must be the path of a file of the type " + param
	case "postcode_iso3166_alpha2":
		return "must be a postal code of the country " + param
	case "spicedb":
		return "must be a SpiceDB " + spiceDB(param)
	case "unique":
		if param == "" {
			return "must not hold anything twice"
		}
		return "must not hold two items with the same " + w.inItem(param)
	}
	return w.related(tag, param)
}

// measure says a limit in the unit of the value.
func (w *wording) measure(rule, value, count, param string) string {
	unit := ""
	switch w.Kind() {
	case reflect.String:
		unit = "character"
	case reflect.Slice, reflect.Array:
		unit = "item"
	case reflect.Map:
		unit = "entry"
	case reflect.Struct:
		if t := w.Type(); t != nil && t.ConvertibleTo(timeType) && param == "" {
			return moments[value]
		}
	default:
	}
	// What a string is compared with is the string itself.
	if unit == "character" && (rule == "eq" || rule == "ne") {
		return fmt.Sprintf("%s %q", value, param)
	}
	if unit == "" {
		return value + " " + param
	}
	if param != "1" {
		unit = plural(2, unit)
	}
	return count + " " + param + " " + unit
}

func plural(n int, unit string) string {
	switch {
	case n == 1:
		return unit
	case unit == "entry":
		return "entries"
	default:
		return unit + "s"
	}
}

// moments are the limits of times without a parameter, which are compared with the present.
var moments = map[string]string{
	"must be at least":  "must not be in the past",
	"must be at most":   "must not be in the future",
	"must be more than": "must be in the future",
	"must be less than": "must be in the past",
}

// related returns the predicate of a rule that has to do with other fields, "" for any other rule.
func (w *wording) related(tag, param string) string {
	if relation, ok := comparisons[tag]; ok {
		return relation + " the field " + w.sibling(param)
	}
	if relation, ok := crossComparisons[tag]; ok {
		return relation + " the field " + w.fromTop(param)
	}
	if when, ok := strings.CutPrefix(tag, "required_"); ok {
		return joined("is required", w.when(when, param))
	}
	if when, ok := strings.CutPrefix(tag, "excluded_"); ok {
		return joined("must be left out", w.when(when, param))
	}
	switch tag {
	case "skip_unless":
		return "is required if " + w.conditions(param)
	case "postcode_iso3166_alpha2_field":
		return "must be a postal code of the country in the field " + w.sibling(param)
	}
	return ""
}

// when returns the condition of a rule that asks for a field, or for its absence, depending on others: what follows required_ and
// excluded_ in its name. It is "" for one that is not known.
func (w *wording) when(rule, param string) string {
	switch rule {
	case "if":
		return "if " + w.conditions(param)
	case "unless":
		return "unless " + w.conditions(param)
	case "with":
		return "if " + w.siblings(param, "or") + " is given"
	case "with_all":
		return "if " + w.siblings(param, "and") + " are given"
	case "without":
		return "if " + w.siblings(param, "or") + " is left out"
	case "without_all":
		return "if " + w.siblings(param, "and") + " are left out"
	}
	return ""
}

// joined returns what is asked for and when, "" without a when.
func joined(what, when string) string {
	if when == "" {
		return ""
	}
	return what + " " + when
}

var comparisons = map[string]string{
	"eqfield": "must be equal to", "nefield": "must not be equal to", "gtfield": "must be more than", "gtefield": "must be at least",
	"ltfield": "must be less than", "ltefield": "must be at most",
	"fieldcontains": "must contain the text of", "fieldexcludes": "must not contain the text of",
}

var crossComparisons = map[string]string{
	"eqcsfield": "must be equal to", "necsfield": "must not be equal to", "gtcsfield": "must be more than", "gtecsfield": "must be at least",
	"ltcsfield": "must be less than", "ltecsfield": "must be at most",
}

// lent returns the names that an embedded struct lends to the one around it.
func (w *wording) lent() string {
	var names []string
	for f := range w.lender.Fields() {
		if name, embedded, skipped := jsonName(&f); !embedded && !skipped {
			names = append(names, place{}.field(name).path())
		}
	}
	if len(names) == 0 {
		return "more fields"
	}
	return "the field " + enumerate(names, "or")
}

// sibling returns the JSON name of a field of the same struct.
func (w *wording) sibling(name string) string { return inJSON(w.parent, name) }

// fromTop returns the path of a field that is named from the top.
func (w *wording) fromTop(name string) string { return inJSON(w.top, name) }

// inItem returns the JSON name of a field of the items of the value.
func (w *wording) inItem(name string) string {
	t := w.Type()
	for t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array || t.Kind() == reflect.Map || t.Kind() == reflect.Pointer) {
		t = t.Elem()
	}
	return inJSON(t, name)
}

// inJSON returns the path, from a struct, of a field that is given in Go names. What is not to be found is named as little as possible.
func inJSON(t reflect.Type, names string) string {
	var p place
	for name := range strings.SplitSeq(names, ".") {
		for t != nil && t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t == nil || t.Kind() != reflect.Struct {
			return "that goes with it"
		}
		f, ok := t.FieldByName(name)
		if !ok {
			return "that goes with it"
		}
		called, embedded, skipped := jsonName(&f)
		if skipped {
			return "that goes with it"
		}
		if !embedded {
			p = p.field(called)
		}
		t = f.Type
	}
	return p.path()
}

func (w *wording) siblings(param, conjunction string) string {
	names := strings.Fields(param)
	for i := range names {
		names[i] = w.sibling(names[i])
	}
	return enumerate(names, conjunction)
}

// conditions puts pairs of a field and a value into words.
func (w *wording) conditions(param string) string {
	words := splitQuoted(param)
	said := make([]string, 0, len(words)/2)
	for i := 0; i+1 < len(words); i += 2 {
		value := words[i+1]
		if value == "nil" {
			value = "left out"
		}
		said = append(said, w.sibling(words[i])+" is "+value)
	}
	return enumerate(said, "and")
}

// list puts the values of a parameter into words.
func list(param string) string { return strings.Join(splitQuoted(param), ", ") }

// splitQuoted splits a parameter as validator does: at blanks, but not inside of single quotes.
func splitQuoted(param string) []string {
	var words []string
	for rest := strings.TrimSpace(param); rest != ""; rest = strings.TrimSpace(rest) {
		var word string
		if rest[0] == '\'' {
			word, rest, _ = strings.Cut(rest[1:], "'")
		} else if i := strings.IndexAny(rest, " \t\n\r"); i >= 0 {
			word, rest = rest[:i], rest[i:]
		} else {
			word, rest = rest, ""
		}
		words = append(words, word)
	}
	return words
}

func enumerate(words []string, conjunction string) string {
	switch n := len(words); n {
	case 0:
		return ""
	case 1:
		return words[0]
	default:
		return strings.Join(words[:n-1], ", ") + " " + conjunction + " " + words[n-1]
	}
}

func spiceDB(param string) string {
	switch param {
	case "permission", "type":
		return param
	default:
		return "id"
	}
}

// fixedWords are the rules whose words depend on nothing.
var fixedWords = map[string]string{
	"required":                   "is required",
	"isdefault":                  "must be left out",
	"alpha":                      "must consist of letters from A to Z",
	"alphaspace":                 "must consist of letters from A to Z and spaces",
	"alphanum":                   "must consist of letters from A to Z and digits",
	"alphanumspace":              "must consist of letters from A to Z, digits and spaces",
	"alphaunicode":               "must consist of letters",
	"alphanumunicode":            "must consist of letters and digits",
	"ascii":                      "must consist of ASCII characters",
	"printascii":                 "must consist of printable ASCII characters",
	"multibyte":                  "must hold characters outside of ASCII",
	"lowercase":                  "must be in lower case",
	"uppercase":                  "must be in upper case",
	"boolean":                    "must be a boolean such as true or false",
	"numeric":                    "must be a number without exponent",
	"number":                     "must consist of digits",
	"hexadecimal":                "must be a hexadecimal number",
	"hexcolor":                   "must be a colour such as #1e90ff",
	"rgb":                        "must be a colour such as rgb(30,144,255)",
	"rgba":                       "must be a colour such as rgba(30,144,255,0.5)",
	"hsl":                        "must be a colour such as hsl(210,100%,56%)",
	"hsla":                       "must be a colour such as hsla(210,100%,56%,0.5)",
	"cmyk":                       "must be a colour such as cmyk(88%,44%,0%,0%)",
	"iscolor":                    "must be a colour such as #1e90ff or rgb(30,144,255)",
	"e164":                       "must be a phone number such as +14155550123 (E.164)",
	"email":                      "must be an email address",
	"url":                        "must be a URL",
	"http_url":                   "must be a URL that begins with http or https",
	"https_url":                  "must be a URL that begins with https",
	"uri":                        "must be a URI",
	"origin":                     "must be an origin such as https://example.com",
	"urn_rfc8141":                "must be a URN (RFC 8141)",
	"urn_rfc2141":                "must be a URN (RFC 2141)",
	"file":                       "must be the path of a file that exists",
	"filepath":                   "must be the path of a file",
	"dir":                        "must be the path of a directory that exists",
	"dirpath":                    "must be the path of a directory",
	"image":                      "must be the path of an image that exists",
	"base32":                     "must be in base32",
	"base64":                     "must be in base64",
	"base64url":                  "must be in base64url",
	"base64rawurl":               "must be in base64url without padding",
	"datauri":                    "must be a data URI in base64",
	"json":                       "must be JSON in a string",
	"jwt":                        "must be a JSON Web Token",
	"html":                       "must hold HTML",
	"html_encoded":               "must hold HTML entities",
	"url_encoded":                "must be encoded as in a URL",
	"isbn":                       "must be an ISBN",
	"isbn10":                     "must be an ISBN of 10 digits",
	"isbn13":                     "must be an ISBN of 13 digits",
	"issn":                       "must be an ISSN",
	"eth_addr":                   "must be an Ethereum address",
	"eth_addr_checksum":          "must be an Ethereum address with a valid checksum",
	"btc_addr":                   "must be a Bitcoin address",
	"btc_addr_bech32":            "must be a Bitcoin address in Bech32",
	"uuid":                       "must be a UUID in lower case",
	"uuid3":                      "must be a UUID of version 3 in lower case",
	"uuid4":                      "must be a UUID of version 4 in lower case",
	"uuid5":                      "must be a UUID of version 5 in lower case",
	"uuid7":                      "must be a UUID of version 7 in lower case",
	"uuid_rfc4122":               "must be a UUID",
	"uuid3_rfc4122":              "must be a UUID of version 3",
	"uuid4_rfc4122":              "must be a UUID of version 4",
	"uuid5_rfc4122":              "must be a UUID of version 5",
	"ulid":                       "must be a ULID",
	"md4":                        "must be an MD4 hash in hex",
	"md5":                        "must be an MD5 hash in hex",
	"sha256":                     "must be a SHA-256 hash in hex",
	"sha384":                     "must be a SHA-384 hash in hex",
	"sha512":                     "must be a SHA-512 hash in hex",
	"ripemd128":                  "must be a RIPEMD-128 hash in hex",
	"ripemd160":                  "must be a RIPEMD-160 hash in hex",
	"tiger128":                   "must be a Tiger-128 hash in hex",
	"tiger160":                   "must be a Tiger-160 hash in hex",
	"tiger192":                   "must be a Tiger-192 hash in hex",
	"latitude":                   "must be a latitude from -90 to 90",
	"longitude":                  "must be a longitude from -180 to 180",
	"ssn":                        "must be a US social security number",
	"ip":                         "must be an IP address",
	"ipv4":                       "must be an IPv4 address",
	"ipv6":                       "must be an IPv6 address",
	"cidr":                       "must be a network such as 192.0.2.0/24",
	"cidrv4":                     "must be an IPv4 network such as 192.0.2.0/24",
	"cidrv6":                     "must be an IPv6 network such as 2001:db8::/32",
	"tcp_addr":                   "must be a TCP address",
	"tcp4_addr":                  "must be a TCP address over IPv4",
	"tcp6_addr":                  "must be a TCP address over IPv6",
	"udp_addr":                   "must be a UDP address",
	"udp4_addr":                  "must be a UDP address over IPv4",
	"udp6_addr":                  "must be a UDP address over IPv6",
	"ip_addr":                    "must be an IP address",
	"ip4_addr":                   "must be an IPv4 address",
	"ip6_addr":                   "must be an IPv6 address",
	"unix_addr":                  "must be the address of a Unix socket",
	"uds_exists":                 "must be the path of a Unix socket that exists",
	"mac":                        "must be a MAC address",
	"hostname":                   "must be a host name (RFC 952)",
	"hostname_rfc1123":           "must be a host name (RFC 1123)",
	"hostname_label":             "must be one label of a host name (RFC 1123)",
	"hostname_port":              "must be a host name and a port such as example.com:443",
	"fqdn":                       "must be a fully qualified domain name",
	"port":                       "must be a port from 1 to 65535",
	"dns_rfc1035_label":          "must be a DNS label (RFC 1035)",
	"timezone":                   "must be the name of a time zone such as Europe/Berlin",
	"duration":                   "must be a duration such as 1h30m",
	"cron":                       "must be a cron expression",
	"country_code":               "must be a country code (ISO 3166-1)",
	"eu_country_code":            "must be the code of a country of the EU (ISO 3166-1)",
	"iso3166_1_alpha2":           "must be a country code of two letters (ISO 3166-1)",
	"iso3166_1_alpha2_eu":        "must be the code of a country of the EU, of two letters (ISO 3166-1)",
	"iso3166_1_alpha3":           "must be a country code of three letters (ISO 3166-1)",
	"iso3166_1_alpha3_eu":        "must be the code of a country of the EU, of three letters (ISO 3166-1)",
	"iso3166_1_alpha_numeric":    "must be a country code in digits (ISO 3166-1)",
	"iso3166_1_alpha_numeric_eu": "must be the code of a country of the EU, in digits (ISO 3166-1)",
	"iso3166_2":                  "must be the code of a region (ISO 3166-2)",
	"iso4217":                    "must be a currency code of three letters (ISO 4217)",
	"iso4217_numeric":            "must be a currency code in digits (ISO 4217)",
	"bcp47_language_tag":         "must be a language tag (BCP 47)",
	"bcp47_strict_language_tag":  "must be a language tag (BCP 47)",
	"bic":                        "must be a BIC (ISO 9362)",
	"bic_iso_9362_2014":          "must be a BIC (ISO 9362:2014)",
	"semver":                     "must be a semantic version such as 1.2.3",
	"credit_card":                "must be the number of a credit card",
	"luhn_checksum":              "must have a valid checksum (Luhn)",
	"cve":                        "must be a CVE id",
	"ein":                        "must be a US employer identification number",
	"mongodb":                    "must be a MongoDB object id",
	"mongodb_connection_string":  "must be a MongoDB connection string",
	"validateFn":                 "is not valid",
}
