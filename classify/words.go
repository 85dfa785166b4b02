package classify

import "strings"

func firstOf(texts ...string) string {
	for _, s := range texts {
		if s != "" {
			return s
		}
	}
	return ""
}

// isHTTPStatus reports whether s is a number that can only be an HTTP status.
func isHTTPStatus(s string) bool {
	return len(s) == 3 && s[0] >= '1' && s[0] <= '5' && isDigit(s[1]) && isDigit(s[2])
}

// isScreaming reports whether s is a word such as INVALID_ARGUMENT; OK and the like name no error.
func isScreaming(s string) bool {
	switch s {
	case "", "OK", "NOTOK", "ERROR", "FAIL", "FAILED", "FAILURE", "SUCCESS":
		return false
	}
	for i := range len(s) {
		if c := s[i]; c != '_' && !isDigit(c) && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return len(s) > 3 && !isDigit(s[0])
}

// isLowerWord reports whether s is one word in lower case, such as ratelimited or invalid_grant.
func isLowerWord(s string) bool {
	letters := false
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' {
			letters = true
		} else if !isDigit(c) && c != '_' && c != '-' && c != '.' {
			return false
		}
	}
	return letters && len(s) <= 64
}

// isName reports whether s, the status of an error, names the error: quota_exceeded does, failed does not.
func isName(s string) bool {
	switch strings.ToLower(s) {
	case "error", "fail", "failed", "failure", "ok", "success", "completed", "incomplete", "cancelled", "canceled", "pending", "rejected":
		return false
	}
	return isToken(s) && !isDigit(s[0])
}

// isToken reports whether s is one word of a machine's.
func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isWordByte(c) && c != '-' && c != '.' {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func isWordByte(c byte) bool { return isLetter(c) || isDigit(c) || c == '_' }

// trimBlank returns s without the blanks around it.
func trimBlank(s string) string {
	s = s[skipBlank(s, 0):]
	for s != "" && s[len(s)-1] <= ' ' && skipBlank(s, len(s)-1) == len(s) {
		s = s[:len(s)-1]
	}
	return s
}

// cut returns at most n bytes of s.
func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// containsFold reports whether s contains the lower-case ASCII sub in any case.
func containsFold(s, sub string) bool { return indexFold(s, sub) >= 0 }

// indexFold returns where s contains the lower-case ASCII sub in any case, or -1.
func indexFold(s, sub string) int {
	first := sub[0]
	for i := 0; i+len(sub) <= len(s); i++ {
		if !isLetter(first) {
			jump := strings.IndexByte(s[i:], first)
			if jump < 0 {
				return -1
			}
			if i += jump; i+len(sub) > len(s) {
				return -1
			}
		} else if s[i]|0x20 != first {
			continue
		}
		if strings.EqualFold(s[i:i+len(sub)], sub) {
			return i
		}
	}
	return -1
}
