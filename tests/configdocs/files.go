package configdocs

// Files returns the generated files by their path below root, generated from the sources in root.
func Files(root string) (map[string][]byte, error) {
	keys, err := Load(root)
	if err != nil {
		return nil, err
	}
	effects, err := MeasuredEffects()
	if err != nil {
		return nil, err
	}
	page, err := Page(keys, effects)
	if err != nil {
		return nil, err
	}
	schema, err := Schema(keys)
	if err != nil {
		return nil, err
	}
	project, err := ProjectFile(root, keys)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{PagePath: page, SchemaPath: schema, ProjectPath: project}, nil
}
