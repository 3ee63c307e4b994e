package cloud

import (
	"strings"

	"vllm-autoscaling/tests/lab/cloud/schema"
)

// computeSchema returns the schema of inputs whose SDK package is too large to compile for a few properties.
func computeSchema(required string, properties map[string]*schema.Type) *schema.Type {
	t := &schema.Type{Kind: schema.Object, Properties: properties}
	for name := range strings.SplitSeq(required, " ") {
		if property := properties[name]; property != nil {
			marked := *property
			marked.Required = true
			properties[name] = &marked
		}
	}
	return t
}

var (
	textType  = &schema.Type{Kind: schema.String}
	flagType  = &schema.Type{Kind: schema.Boolean}
	wholeType = &schema.Type{Kind: schema.Integer}
	tagsType  = &schema.Type{Kind: schema.Map, Items: textType}
)

func listType(items *schema.Type) *schema.Type { return &schema.Type{Kind: schema.Array, Items: items} }
