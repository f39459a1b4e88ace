// Package web holds what people see: templates, static files and texts. It is data and no behaviour; package server parses
// it once, at start.
package web

import "embed"

// FS holds three folders: templates/ (one html/template file a page, and layout.html that they share), static/ (files served
// as they are under /assets/) and locales/ (one flat JSON object of key to text for each language, with the same keys in each).
//
//go:embed templates static locales
var FS embed.FS
