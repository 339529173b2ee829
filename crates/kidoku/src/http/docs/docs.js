"use strict";
// Shows /openapi.json. Text from the document only ever becomes text nodes.

const METHODS = ["get", "post", "put", "patch", "delete"];

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  for (const child of children) {
    if (child !== null && child !== undefined) element.append(child);
  }
  return element;
}

// Turns `word` into code, and nothing else.
function prose(text, tag = "p") {
  const parts = (text || "").split("`");
  return make(tag, {}, ...parts.map((part, at) => (at % 2 ? make("code", {}, part) : part)));
}

function refName(schema) {
  return schema && schema.$ref ? schema.$ref.split("/").pop() : null;
}

function typeOf(schema) {
  if (!schema) return "nothing";
  const name = refName(schema);
  if (name) return make("a", { href: "#schema-" + name }, name);
  const choices = schema.oneOf || schema.anyOf;
  if (choices) {
    const out = make("span", {});
    choices.forEach((choice, at) => out.append(at ? " or " : "", typeOf(choice)));
    return out;
  }
  if (schema.type === "array") return make("span", {}, "list of ", typeOf(schema.items));
  return [].concat(schema.type || "any").join(" or ");
}

function table(heads, rows) {
  if (rows.length === 0) return null;
  const head = make("tr", {}, ...heads.map((text) => make("th", {}, text)));
  const body = rows.map((cells) => make("tr", {}, ...cells.map((cell) => make("td", {}, cell))));
  return make("table", {}, make("thead", {}, head), make("tbody", {}, ...body));
}

function contents(holder) {
  const content = Object.values((holder && holder.content) || {})[0];
  return content ? typeOf(content.schema) : null;
}

function operation(method, path, op) {
  const rows = (op.parameters || []).map((parameter) => [
    make("code", {}, parameter.name),
    parameter.in + (parameter.required ? "" : ", optional"),
    prose(parameter.description, "span"),
  ]);
  const body = contents(op.requestBody);
  const answers = Object.entries(op.responses || {}).map(([status, response]) => {
    const type = contents(response);
    return [make("code", {}, status), prose(response.description, "span"), type || ""];
  });
  return make(
    "article",
    { id: op.operationId },
    make("h3", {}, op.summary || op.operationId),
    make("p", { class: "route" }, make("code", { class: "method" }, method.toUpperCase()), make("code", {}, path)),
    op.description ? prose(op.description) : null,
    table(["parameter", "in", "meaning"], rows),
    body ? make("p", {}, "Body: ", body) : null,
    table(["status", "meaning", "answer"], answers),
  );
}

function fieldsOf(schema) {
  let fields = [];
  for (const part of schema.allOf || []) {
    const name = refName(part);
    if (name) fields.push([make("a", { href: "#schema-" + name }, "all of " + name), "", ""]);
    else fields = fields.concat(fieldsOf(part));
  }
  const required = new Set(schema.required || []);
  for (const [name, field] of Object.entries(schema.properties || {})) {
    const kind = make("span", {}, typeOf(field), required.has(name) ? "" : make("span", { class: "soft" }, ", optional"));
    fields.push([make("code", {}, name), kind, prose(field.description, "span")]);
  }
  return fields;
}

function schema(name, body) {
  const fields = table(["field", "type", "meaning"], fieldsOf(body));
  return make(
    "article",
    { id: "schema-" + name },
    make("h3", {}, name),
    prose(body.description),
    fields || make("p", {}, typeOf(body)),
  );
}

function show(api) {
  document.getElementById("intro").replaceWith(prose(api.info.description));
  const links = make("ul", {});
  const sections = (api.tags || []).map((tag) => {
    const section = make("section", { id: "tag-" + tag.name }, make("h2", {}, tag.description || tag.name));
    for (const [path, item] of Object.entries(api.paths)) {
      for (const method of METHODS) {
        const op = item[method];
        if (op && (op.tags || []).includes(tag.name)) section.append(operation(method, path, op));
      }
    }
    links.append(make("li", {}, make("a", { href: "#tag-" + tag.name }, tag.name)));
    return section;
  });
  for (const other of ["errors", "schemas"]) {
    links.append(make("li", {}, make("a", { href: "#" + other }, other)));
  }
  document.getElementById("contents").replaceChildren(links);
  document.getElementById("operations").replaceChildren(...sections);
  const schemas = Object.entries((api.components || {}).schemas || {});
  document
    .getElementById("schemas")
    .replaceChildren(make("h2", {}, "Schemas"), ...schemas.map(([name, body]) => schema(name, body)));
  // The anchor of the address did not exist when the page was loaded.
  if (location.hash) {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target) target.scrollIntoView();
  }
}

fetch("/openapi.json")
  .then((response) => response.json())
  .then(show)
  .catch((error) => {
    document.getElementById("operations").replaceChildren(make("p", {}, "The description can not be shown: " + error));
  });
