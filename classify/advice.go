package classify

import "github.com/errwire/errwire/errcodes"

// adviceFor says what to do about a class, where no registry does. Who reads it may have made every attempt already, so it holds before
// them and after.
func adviceFor(class errcodes.Class, retry errcodes.Retry) string {
	switch class {
	case errcodes.ClassInvalidRequest:
		return "Correct the request: the message says what is wrong with it."
	case errcodes.ClassAuthentication:
		return "Check the API key: that it is sent, complete, of this account and not expired."
	case errcodes.ClassPermission:
		return "Have the key, the account or the network allowed to do this."
	case errcodes.ClassBilling:
		return "Top up the balance, settle the bill or raise the spend limit."
	case errcodes.ClassQuotaExhausted:
		return "The allowance is spent: have it raised, change the plan, or come back when it renews."
	case errcodes.ClassRateLimited:
		return "Send more slowly: wait as long as the server asks, then go on."
	case errcodes.ClassNotFound:
		return "Check the URL and the name of the model: it does not exist, is gone, or is not open to this key."
	case errcodes.ClassConflict:
		if retry == errcodes.RetryBackoff {
			return "Another operation is in progress: wait until it is done."
		}
		return "Read the present state, decide anew, and send another request."
	case errcodes.ClassTooLarge:
		return "Send less in one request."
	case errcodes.ClassContentPolicy:
		return "The content was refused: change the prompt."
	case errcodes.ClassContextLength:
		return "Shorten the prompt, ask for fewer tokens, or take a model with a longer context."
	case errcodes.ClassOverloaded:
		if retry == errcodes.RetryNever {
			return "The service has no capacity just now: come back later."
		}
		return "The service has no capacity just now: wait, then try again."
	case errcodes.ClassTimeout:
		if retry == errcodes.RetryNever {
			return "Ask for less in one request or stream the answer."
		}
		return "Ask for less in one request or stream the answer, and try again later."
	case errcodes.ClassServerError:
		if retry == errcodes.RetryOnce {
			return "The provider failed: if it fails a second time, report the request id."
		}
		return "The provider failed: if it goes on failing, report the request id."
	case errcodes.ClassUnsupported:
		return "This model or endpoint cannot do that: take another one, or leave the option out."
	case errcodes.ClassCanceled:
		return "The caller ended the request."
	case errcodes.ClassNetwork:
		return adviceReach
	default:
		return "Nothing says what went wrong: report the request id."
	}
}
