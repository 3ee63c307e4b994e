package configdocs

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"vllm-autoscaling/stacks/config"
)

// Kind is the type of a key's value.
type Kind string

// The kinds, with the names that the page uses.
const (
	String   Kind = "string"
	Integer  Kind = "integer"
	Number   Kind = "number"
	Boolean  Kind = "boolean"
	Duration Kind = "duration"
	Quantity Kind = "quantity"
	Secret   Kind = "secret"
	List     Kind = "list of strings"
	Map      Kind = "map of strings"
	Objects  Kind = "list of objects"
	// Any is an object with arbitrary keys, such as the values of a chart.
	Any Kind = "object"
	// PodTemplate is a part of Kubernetes' PodTemplateSpec.
	PodTemplate Kind = "pod template"
	// Servers is an object of objects of other keys.
	Servers Kind = "servers"
	// Object has Keys.
	Object Kind = "keys"
)

// Key is one key of the configuration, or an object of keys.
type Key struct {
	// Name is the dotted key below the project's namespace; Part its last part.
	Name, Part string
	Kind       Kind
	// Doc describes the key: the comment of its field.
	Doc string
	// Clouds lists the clouds on which it has an effect; When is create, attach or "" for both. Both include the scopes of
	// the objects around it.
	Clouds []string
	When   string
	// OwnScope is the scope of the key itself, or of an object below the top level. The page shows the scope of a
	// top-level object once, for its section.
	OwnScope []string
	// Rules holds the single-value rules that the program enforces.
	config.Rules
	// MayBeEmpty reports whether the empty text stands for no value.
	MayBeEmpty bool
	// Default holds the default for each cloud in Clouds, in the form that the file has; nil means none.
	Default map[string]any
	// Required lists the clouds on which the key is required.
	Required []string
	// Example holds an allowed value for each cloud that has one.
	Example map[string]any
	// Keys lists the keys of an Object, or of each item of Objects.
	Keys []*Key
}

// Leaves returns the keys that hold values in a list of keys and below, in order.
func Leaves(keys []*Key) []*Key {
	var leaves []*Key
	for _, key := range keys {
		if key.Kind == Object {
			leaves = append(leaves, Leaves(key.Keys)...)
			continue
		}
		leaves = append(leaves, key)
	}
	return leaves
}

// Load reads the keys from the types of package config, and the comments of their fields from the sources of the packages
// that declare them, which lie below root. It returns an error for a field without a comment and for invalid tags.
func Load(root string) ([]*Key, error) {
	l := newLoader(root)
	if err := l.readDefaults(); err != nil {
		return nil, err
	}
	return l.keys(reflect.TypeFor[config.Config](), &Key{Clouds: config.Clouds})
}

type loader struct {
	// root is the folder of the program's module.
	root string
	// comments holds the comments of fields, by package path and "Type.Field".
	comments map[string]map[string]string
	// defaults holds the values of the minimal configuration as read by the program, by cloud and key.
	defaults map[string]map[string]any
	// required lists the clouds on which a key is required.
	required map[string][]string
}

func newLoader(root string) *loader {
	return &loader{root: root, comments: map[string]map[string]string{}}
}

// module is the path of the program's module.
var module = strings.TrimSuffix(reflect.TypeFor[config.Config]().PkgPath(), "/stacks/config")

// commentsOf returns the comments of the fields of all structs of a package of the module, by "Type.Field".
func (l *loader) commentsOf(packagePath string) (map[string]string, error) {
	if comments, ok := l.comments[packagePath]; ok {
		return comments, nil
	}
	folder, ok := strings.CutPrefix(packagePath, module+"/")
	if !ok {
		return nil, fmt.Errorf("package %s does not belong to module %s", packagePath, module)
	}
	files, err := filepath.Glob(filepath.Join(l.root, filepath.FromSlash(folder), "*.go"))
	if err != nil {
		return nil, err
	}
	comments := map[string]string{}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		addComments(file, comments)
	}
	if len(comments) == 0 {
		return nil, fmt.Errorf("no sources of package %s in %s", packagePath, l.root)
	}
	l.comments[packagePath] = comments
	return comments, nil
}

// addComments adds the comments of the fields of a file's structs.
func addComments(file *ast.File, comments map[string]string) {
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.TypeSpec)
		if !ok {
			return true
		}
		structure, ok := spec.Type.(*ast.StructType)
		if !ok {
			return true
		}
		for _, field := range structure.Fields.List {
			for _, name := range field.Names {
				comments[spec.Name.Name+"."+name.Name] = field.Doc.Text()
			}
		}
		return true
	})
}

// keys returns the keys of a struct below parent.
func (l *loader) keys(structure reflect.Type, parent *Key) ([]*Key, error) {
	var keys []*Key
	for _, field := range config.Fields(structure) {
		key, err := l.key(structure, field, parent)
		if err != nil {
			return nil, fmt.Errorf("field %s.%s in package %s: %w", structure.Name(), field.Name, structure.PkgPath(), err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

var kinds = map[reflect.Type]Kind{
	reflect.TypeFor[string](): String, reflect.TypeFor[int](): Integer, reflect.TypeFor[float64](): Number,
	reflect.TypeFor[bool](): Boolean, reflect.TypeFor[time.Duration](): Duration, reflect.TypeFor[config.Quantity](): Quantity,
	reflect.TypeFor[config.Secret](): Secret, reflect.TypeFor[[]string](): List, reflect.TypeFor[map[string]string](): Map,
	reflect.TypeFor[map[string]any](): Any, reflect.TypeFor[config.PodTemplate](): PodTemplate,
	reflect.TypeFor[config.Servers](): Servers,
}

func (l *loader) key(structure reflect.Type, field config.Field, parent *Key) (*Key, error) {
	tag := field.Tag
	if err := checkTags(tag); err != nil {
		return nil, err
	}
	k := &Key{
		Part: tag.Get("key"), Name: strings.TrimPrefix(parent.Name+"."+tag.Get("key"), "."),
		Clouds: parent.Clouds, When: parent.When, OwnScope: parent.OwnScope,
		Rules: config.RulesOf(tag),
	}
	comments, err := l.commentsOf(structure.PkgPath())
	if err != nil {
		return nil, err
	}
	if k.Doc = field.Doc; k.Doc == "" {
		k.Doc = docOf(field.Name, comments[structure.Name()+"."+field.Name])
	}
	if k.Doc == "" {
		return nil, fmt.Errorf("it has no comment that begins with its name and describes the key %s", k.Name)
	}
	if clouds := strings.Fields(tag.Get("clouds")); len(clouds) > 0 {
		k.Clouds = slices.DeleteFunc(slices.Clone(parent.Clouds), func(cloud string) bool { return !slices.Contains(clouds, cloud) })
		if parent.Name != "" {
			k.OwnScope = []string{strings.Join(clouds, ", ")}
		}
	}
	if when := tag.Get("when"); when != "" {
		k.When = when
		k.OwnScope = append(slices.Clone(k.OwnScope), map[string]string{"create": "creating", "attach": "attaching"}[when])
	}
	kind, ok := kinds[field.Type]
	switch {
	case ok:
		k.Kind = kind
	case field.Type.Kind() == reflect.Struct:
		k.Kind = Object
	case field.Type.Kind() == reflect.Slice && field.Type.Elem().Kind() == reflect.Struct:
		k.Kind = Objects
	default:
		return nil, fmt.Errorf("the generator does not know the type %s: add it to kinds", field.Type)
	}
	if k.Kind == Object || k.Kind == Objects {
		of := field.Type
		if k.Kind == Objects {
			of = of.Elem()
		}
		if k.Keys, err = l.keys(of, k); err != nil || k.Kind == Object {
			return k, err
		}
	}
	if k.Example, err = perCloud(tag.Get("example"), k); err != nil {
		return nil, fmt.Errorf("tag example: %w", err)
	}
	stated, err := perCloud(tag.Get("default"), k)
	if err != nil {
		return nil, fmt.Errorf("tag default: %w", err)
	}
	k.Required = l.required[k.Name]
	k.MayBeEmpty = len(k.Required) == 0 && !slices.ContainsFunc(k.Clouds, func(cloud string) bool { return l.defaults[cloud][k.Name] != nil })
	k.Default = map[string]any{}
	for _, cloud := range k.Clouds {
		if value, ok := stated[cloud]; ok {
			k.Default[cloud] = value
		} else if !slices.Contains(k.Required, cloud) {
			k.Default[cloud] = l.defaults[cloud][k.Name]
			if k.Unset != "" && isZero(k.Default[cloud]) {
				k.Default[cloud] = nil
			}
		}
	}
	return k, nil
}

// isZero reports whether a value is the zero of its type.
func isZero(value any) bool { return value == nil || reflect.ValueOf(value).IsZero() }

// checkTags returns an error for unknown tags: a misspelt one would have no effect.
func checkTags(tag reflect.StructTag) error {
	rest := string(tag)
	for _, name := range config.TagNames {
		if value, ok := tag.Lookup(name); ok {
			rest = strings.Replace(rest, fmt.Sprintf("%s:%s", name, quoted(value)), "", 1)
		}
	}
	if rest = strings.TrimSpace(rest); rest != "" {
		return fmt.Errorf("tag %s is not one of %s", rest, strings.Join(config.TagNames, ", "))
	}
	return nil
}

// quoted returns a tag's value in the notation of the source.
func quoted(value string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
}

// docOf returns the description of a key: the field's comment without the field's name.
func docOf(field, comment string) string {
	text := strings.Join(strings.Fields(comment), " ")
	rest, ok := strings.CutPrefix(text, field+" ")
	if !ok {
		return ""
	}
	for _, verb := range []string{"is ", "are "} {
		if after, ok := strings.CutPrefix(rest, verb); ok {
			rest = after
			break
		}
	}
	return strings.ToUpper(rest[:1]) + rest[1:]
}

// perCloud parses a tag that holds one value for all clouds, or cloud=value for some.
func perCloud(text string, k *Key) (map[string]any, error) {
	if text == "" {
		return nil, nil
	}
	texts := map[string]string{}
	for _, field := range strings.Fields(text) {
		cloud, value, ok := strings.Cut(field, "=")
		if !ok || !slices.Contains(config.Clouds, cloud) {
			texts = nil
			break
		}
		texts[cloud] = value
	}
	if texts == nil {
		texts = map[string]string{}
		for _, cloud := range k.Clouds {
			texts[cloud] = text
		}
	}
	values := map[string]any{}
	for cloud, one := range texts {
		var value any
		if k.Kind == String || k.Kind == Duration || k.Kind == Quantity {
			value = one
		} else if err := yaml.Unmarshal([]byte(one), &value); err != nil {
			return nil, fmt.Errorf("%q: %w", one, err)
		}
		if !slices.Contains(k.Clouds, cloud) {
			return nil, fmt.Errorf("cloud %s is not among the key's (%s)", cloud, strings.Join(k.Clouds, ", "))
		}
		values[cloud] = value
	}
	return values, nil
}
