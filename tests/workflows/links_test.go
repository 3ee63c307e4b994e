package workflows

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	codeBlock = regexp.MustCompile("(?s)```.*?```")
	// link matches the target of a link or an image.
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	// notInAnchor is what GitHub leaves out of the anchor of a heading.
	notInAnchor = regexp.MustCompile(`[^\p{L}\p{N}_\- ]`)
)

// TestLinksOfThePagesResolve checks the relative links of the README, CONTRIBUTING and the pages in docs: the file exists, and
// has the heading that the link names. It also checks that the index lists every page.
func TestLinksOfThePagesResolve(t *testing.T) {
	root := repository(t)
	pages, err := filepath.Glob(filepath.Join(root, "docs/*.md"))
	require.NoError(t, err)
	require.Greater(t, len(pages), 10)
	index := filepath.Join(root, "docs/README.md")
	var indexed []string
	for _, page := range append(pages, filepath.Join(root, "README.md"), filepath.Join(root, "CONTRIBUTING.md")) {
		for _, match := range link.FindAllStringSubmatch(prose(t, page), -1) {
			path, anchor, _ := strings.Cut(match[1], "#")
			if strings.Contains(path, ":") {
				continue
			}
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			if page == index {
				indexed = append(indexed, target)
			}
			if _, err := os.Stat(target); !assert.NoError(t, err, "%s links to %s", page, match[1]) || anchor == "" {
				continue
			}
			assert.Contains(t, anchors(prose(t, target)), anchor, "%s links to %s", page, match[1])
		}
	}
	for _, page := range pages {
		if page != index {
			assert.Contains(t, indexed, page, "docs/README.md does not list it")
		}
	}
}

// prose returns the text of a page without its blocks of code.
func prose(t *testing.T, page string) string {
	t.Helper()
	content, err := os.ReadFile(page)
	require.NoError(t, err)
	return codeBlock.ReplaceAllString(string(content), "")
}

// anchors returns the anchors of the headings of a page, as GitHub forms them. No page repeats a heading.
func anchors(page string) []string {
	var all []string
	for _, match := range heading.FindAllStringSubmatch(page, -1) {
		all = append(all, strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(match[1]), ""), " ", "-"))
	}
	return all
}
