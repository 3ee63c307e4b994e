package load

import (
	"fmt"
	"math/rand/v2"
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

// prompt returns a text of about that many tokens: each word counts as one token, and the chat template's tokens are
// subtracted. Reports use the server's own count. Every prompt is different, so that a server's prefix cache does not
// shortcut the computation.
func prompt(tokens int, id uint64) string {
	chance := rand.New(rand.NewPCG(id, 0))
	var text strings.Builder
	fmt.Fprintf(&text, "%d", id%10) // one token
	for range max(0, tokens-chatOverhead-1) {
		text.WriteByte(' ')
		text.WriteString(words[chance.IntN(len(words))])
	}
	return text.String()
}
