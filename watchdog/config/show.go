package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/goccy/go-yaml"
)

// Show writes the effective config as YAML that Parse reads back: every key, with its default where the file gives
// none, and file names made absolute. There is no secret in it, only the names of files.
func (c *Config) Show(w io.Writer) error {
	out, err := c.yaml()
	if err != nil {
		return err
	}
	if _, err := w.Write(out); err != nil {
		return fmt.Errorf("write config: %w", err)
	}
	return nil
}

// ShowJSON writes what Show does, as one JSON object with the same keys and values.
func (c *Config) ShowJSON(w io.Writer) error {
	out, err := c.yaml()
	if err != nil {
		return err
	}
	if out, err = yaml.YAMLToJSON(out); err != nil {
		return fmt.Errorf("turn config into JSON: %w", err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, bytes.TrimSpace(out), "", "  "); err != nil {
		return fmt.Errorf("turn config into JSON: %w", err)
	}
	indented.WriteByte('\n')
	if _, err := indented.WriteTo(w); err != nil {
		return fmt.Errorf("write config: %w", err)
	}
	return nil
}

func (c *Config) yaml() ([]byte, error) {
	out, err := yaml.MarshalWithOptions(c, yaml.Indent(2), yaml.IndentSequence(true),
		yaml.CustomMarshaler(func(d time.Duration) ([]byte, error) { return []byte(short(d)), nil }),
		yaml.CustomMarshaler(func(d DurationOrOff) ([]byte, error) { return []byte(d.String()), nil }))
	if err != nil {
		return nil, fmt.Errorf("turn config into YAML: %w", err)
	}
	return out, nil
}
