package configdocs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ProjectPath is the path of the project file below the repository's root.
const ProjectPath = "Pulumi.yaml"

// projectWidth is the line width of a description.
const projectWidth = 100

// ProjectFile returns the project file in root with its last section, config, generated: every top-level key with its type,
// an empty default, without which the CLI would require the key of every stack, and one sentence.
func ProjectFile(root string, keys []*Key) ([]byte, error) {
	content, err := os.ReadFile(filepath.Join(root, ProjectPath))
	if err != nil {
		return nil, err
	}
	const section = "\nconfig:\n"
	head, _, ok := bytes.Cut(content, []byte(section))
	if !ok {
		return nil, fmt.Errorf("%s has no section config", ProjectPath)
	}
	var text strings.Builder
	text.Write(head)
	text.WriteString(section)
	for _, key := range keys {
		of, ok := projectTypes[key.Kind]
		if !ok {
			return nil, fmt.Errorf("the project file has no type for the key %s, which is a %s", key.Name, key.Kind)
		}
		fmt.Fprintf(&text, "  %s:\n    type: %s\n    default: %s\n    description: >-\n", key.Name, of.name, of.empty)
		for _, line := range wrapped(sentence(key), projectWidth-6) {
			fmt.Fprintf(&text, "      %s\n", line)
		}
	}
	return []byte(text.String()), nil
}

// projectTypes holds the types of the project file and their empty values, by the kind of a key.
var projectTypes = map[Kind]struct{ name, empty string }{
	String: {"string", `""`}, Secret: {"string", `""`}, Boolean: {"boolean", "false"}, Object: {"object", "{}"},
	Map: {"object", "{}"}, Servers: {"object", "{}"},
}

// sentence returns the description of a top-level key: the first sentence of its comment, how a secret is set, and where its
// keys are listed.
func sentence(key *Key) string {
	first, _, _ := strings.Cut(key.Doc, ". ")
	text := strings.TrimSuffix(first, ".")
	if key.Kind == Secret {
		text += "; set it with: pulumi config set --secret " + key.Name
	}
	return text + "; see " + PagePath + "."
}

// wrapped breaks a text into lines of a width.
func wrapped(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}
