package load

import (
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
)

// words are common English words that tokenizers of current models encode as one token each, with the space before
// them.
var words = strings.Fields(`the time way year work day part place case week world school state family
group country hand life number point home water room area money story fact month right study book
word business issue side kind head house service friend power hour game line end member law car city
community name team minute idea body back parent face level office door health person art war party
result change morning reason research moment air teacher force education`)

// chatOverhead is about how many tokens a chat template adds to a prompt: turn markers and role.
const chatOverhead = 8

// prompt is a text of about a number of tokens: each word counts as one token, and the chat template's tokens are
// subtracted. Reports use the server's own count. Every prompt is different, so that a server's prefix cache does not
// shortcut the computation. The text is generated while it is read.
type prompt struct {
	chance *rand.Rand
	left   int // words
	word   string
	space  bool // whether the next word needs one before it
}

func newPrompt(tokens int, id uint64) *prompt {
	return &prompt{
		chance: rand.New(rand.NewPCG(id, 0)),
		left:   max(0, tokens-chatOverhead-1),
		word:   strconv.Itoa(int(id % 10)), // one token
	}
}

func (p *prompt) Read(to []byte) (int, error) {
	n := 0
	for n < len(to) {
		switch {
		case p.word != "":
			copied := copy(to[n:], p.word)
			p.word, n = p.word[copied:], n+copied
			p.space = true
		case p.left == 0:
			if n == 0 {
				return 0, io.EOF
			}
			return n, nil
		case p.space:
			to[n] = ' '
			p.space = false
			n++
		default:
			p.word = words[p.chance.IntN(len(words))]
			p.left--
		}
	}
	return n, nil
}

// setBody sets the body of a request: a prompt and the other fields, a JSON object. The prompt is generated each time that
// it is read: prompts of a million tokens, of all requests in flight, would take gigabytes.
func setBody(request *http.Request, tokens int, id uint64, fields []byte) {
	// Words need no escapes.
	const head = `{"messages":[{"role":"user","content":"`
	tail := `"}],` + string(fields[1:])
	// Some gateways refuse a body without its length.
	length, _ := io.Copy(io.Discard, newPrompt(tokens, id))
	request.ContentLength = int64(len(head)) + length + int64(len(tail))
	request.GetBody = func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader(head), newPrompt(tokens, id), strings.NewReader(tail))), nil
	}
	request.Body, _ = request.GetBody()
}
