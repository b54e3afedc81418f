//! UCL, the language of rspamd's configuration, as far as its settings use it: objects, arrays and texts.
//!
//! A key that is there twice is kept twice, in order. Macros (`.include` and others) are not followed; they are
//! returned as what they say. Numbers stay texts: what a suffix means depends on the key.
//!
//! Bounds: objects and arrays lie at most 32 deep; the text is one file's.

/// A value and the line it begins on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Object(Vec<(String, Node)>),
    Array(Vec<Node>),
    Text(String),
}

/// What is wrong, and on which line.
pub(super) type Fault = (usize, String);

const DEEPEST: usize = 32;

impl Node {
    /// The last value of a key, which overrides those before.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.pairs().iter().rfind(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// Keys and values, when it is an object.
    pub(super) fn pairs(&self) -> &[(String, Self)] {
        match &self.value {
            Value::Object(pairs) => pairs,
            Value::Array(_) | Value::Text(_) => &[],
        }
    }

    /// Its elements; itself when it is no array.
    pub(super) fn elements(&self) -> &[Self] {
        match &self.value {
            Value::Array(elements) => elements,
            Value::Object(_) | Value::Text(_) => std::slice::from_ref(self),
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Object(_) | Value::Array(_) => None,
        }
    }
}

/// Reads a text: the object that it is, and its macros with their lines.
pub(super) fn parse(text: &str) -> Result<(Node, Vec<(usize, String)>), Fault> {
    let mut parser = Parser { rest: text, line: 1, macros: Vec::new() };
    parser.space()?;
    // A whole file may stand in braces, as JSON does.
    let braces = parser.eat('{');
    let pairs = parser.pairs(braces, 0)?;
    parser.space()?;
    if !parser.rest.is_empty() {
        return Err(parser.fault("something behind the end"));
    }
    Ok((Node { line: 1, value: Value::Object(pairs) }, parser.macros))
}

struct Parser<'a> {
    rest: &'a str,
    line: usize,
    macros: Vec<(usize, String)>,
}

impl<'a> Parser<'a> {
    fn fault(&self, what: &str) -> Fault {
        (self.line, what.to_owned())
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn eat(&mut self, c: char) -> bool {
        let stripped = self.rest.strip_prefix(c);
        if let Some(rest) = stripped {
            self.rest = rest;
            self.line += usize::from(c == '\n');
        }
        stripped.is_some()
    }

    /// The text up to where `ends` holds; the lines in it are counted.
    fn until(&mut self, ends: impl Fn(char) -> bool) -> &'a str {
        let (taken, rest) = self.rest.split_at(self.rest.find(ends).unwrap_or(self.rest.len()));
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    /// Passes over space and comments.
    fn space(&mut self) -> Result<(), Fault> {
        loop {
            self.until(|c| !c.is_whitespace());
            // What rspamadm prints around a section is no part of it.
            if self.rest.starts_with('#') || self.rest.starts_with("*** ") {
                self.until(|c| c == '\n');
            } else if self.rest.starts_with("/*") {
                let end = self.rest.find("*/").ok_or_else(|| self.fault("a comment without its end"))?;
                self.line += self.rest[..end].matches('\n').count();
                self.rest = &self.rest[end + 2..];
            } else {
                return Ok(());
            }
        }
    }

    fn separators(&mut self) -> Result<(), Fault> {
        self.space()?;
        while self.eat(';') || self.eat(',') {
            self.space()?;
        }
        Ok(())
    }

    fn pairs(&mut self, braces: bool, depth: usize) -> Result<Vec<(String, Node)>, Fault> {
        let mut pairs = Vec::new();
        loop {
            self.separators()?;
            match self.peek() {
                None if braces => return Err(self.fault("an object without its end")),
                None => return Ok(pairs),
                Some('}') if braces => {
                    self.eat('}');
                    return Ok(pairs);
                }
                Some('.') => self.skip_macro(depth)?,
                Some(_) => {
                    let key = self.key()?;
                    let node = self.behind_key(depth)?;
                    pairs.push((key, node));
                }
            }
        }
    }

    fn skip_macro(&mut self, depth: usize) -> Result<(), Fault> {
        let line = self.line;
        let text = self.macro_text();
        if self.peek() == Some('{') {
            self.value(depth + 1)?;
        }
        self.macros.push((line, text.trim().to_owned()));
        Ok(())
    }

    /// A macro up to its end or the object that it takes. What stands in quotes is a path, as in
    /// `.include "${DBDIR}/x.conf"`, whose braces begin no object.
    fn macro_text(&mut self) -> &'a str {
        let whole = self.rest;
        loop {
            self.until(|c| "\n;{\"'".contains(c));
            let Some(quote @ ('"' | '\'')) = self.peek() else { break };
            self.eat(quote);
            self.until(|c| c == quote || c == '\n');
            self.eat(quote);
        }
        &whole[..whole.len() - self.rest.len()]
    }

    fn key(&mut self) -> Result<String, Fault> {
        match self.peek() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote),
            _ => {
                let key = self.until(|c| c.is_whitespace() || "=:{}[];,\"'".contains(c));
                if key.is_empty() { Err(self.fault("a key was expected")) } else { Ok(key.to_owned()) }
            }
        }
    }

    /// A value; or, before an object, further names, each of which is a key within the one before.
    fn behind_key(&mut self, depth: usize) -> Result<Node, Fault> {
        self.space()?;
        if self.eat('=') || self.eat(':') || matches!(self.peek(), Some('{' | '[')) {
            self.space()?;
            return self.value(depth);
        }
        let line = self.line;
        let name = self.key()?;
        if depth >= DEEPEST {
            return Err(self.fault("too deep"));
        }
        let node = self.behind_name(name, depth)?;
        Ok(Node { line, value: node })
    }

    /// What follows a second word: an object is named by it, anything else means that it was the value.
    fn behind_name(&mut self, name: String, depth: usize) -> Result<Value, Fault> {
        self.until(|c| c != ' ' && c != '\t');
        if matches!(self.peek(), None | Some('\n' | '\r' | ';' | ',' | '}')) {
            return Ok(Value::Text(name));
        }
        let node = self.behind_key(depth + 1)?;
        Ok(Value::Object(vec![(name, node)]))
    }

    fn value(&mut self, depth: usize) -> Result<Node, Fault> {
        if depth >= DEEPEST {
            return Err(self.fault("too deep"));
        }
        let line = self.line;
        let value = match self.peek() {
            Some('{') => {
                self.eat('{');
                Value::Object(self.pairs(true, depth + 1)?)
            }
            Some('[') => Value::Array(self.array(depth + 1)?),
            Some(quote @ ('"' | '\'')) => Value::Text(self.quoted(quote)?),
            Some('<') if self.rest.starts_with("<<") => Value::Text(self.heredoc()?),
            _ => Value::Text(self.bare()?),
        };
        Ok(Node { line, value })
    }

    fn array(&mut self, depth: usize) -> Result<Vec<Node>, Fault> {
        self.eat('[');
        let mut elements = Vec::new();
        loop {
            self.separators()?;
            match self.peek() {
                None => return Err(self.fault("an array without its end")),
                Some(']') => {
                    self.eat(']');
                    return Ok(elements);
                }
                Some(_) => elements.push(self.value(depth)?),
            }
        }
    }

    fn bare(&mut self) -> Result<String, Fault> {
        // A path or an address has commas nowhere, and a variable's braces belong to it.
        let mut text = String::new();
        loop {
            text.push_str(self.until(|c| "\n\r;,{}[]#".contains(c)));
            if !(text.ends_with('$') && self.eat('{')) {
                break;
            }
            text.push('{');
            text.push_str(self.until(|c| c == '}' || c == '\n'));
            if self.eat('}') {
                text.push('}');
            }
        }
        let text = text.trim().to_owned();
        if text.is_empty() { Err(self.fault("a value was expected")) } else { Ok(text) }
    }

    fn quoted(&mut self, quote: char) -> Result<String, Fault> {
        let begun = self.line;
        self.eat(quote);
        let mut text = String::new();
        loop {
            text.push_str(self.until(|c| c == quote || c == '\\'));
            if self.eat(quote) {
                return Ok(text);
            }
            if !self.eat('\\') {
                return Err((begun, "a text without its end".to_owned()));
            }
            let Some(escaped) = self.peek() else { continue };
            self.eat(escaped);
            text.push(match escaped {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                other => other,
            });
        }
    }

    fn heredoc(&mut self) -> Result<String, Fault> {
        let begun = self.line;
        let end = self.until(|c| c == '\n').trim_start_matches('<').trim();
        self.eat('\n');
        let mut text = String::new();
        while !self.rest.is_empty() {
            let line = self.until(|c| c == '\n');
            if line.trim_end_matches([';', '\r']) == end && !end.is_empty() {
                return Ok(text);
            }
            text.push_str(line);
            text.push('\n');
            self.eat('\n');
        }
        Err((begun, "a text without its end".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rspamds_ways_of_writing_are_read() {
        let text = r#"
            # a comment
            rates {
              ip = { selector = "ip"; bucket = [ { burst = 20; rate = "20 / 1m"; }, { burst: 5k, rate: 1 } ] }
              to : "1 / 5m" /* of old */
            }
            .include(try=true) "$LOCAL_CONFDIR/x.conf"
            named "one" { key value; }
            path = ${DBDIR}/maps.d/a.map;
            text = <<EOD
two
lines
EOD
            last = yes
        "#;
        let (root, macros) = parse(text).unwrap();
        let bucket = root.get("rates").unwrap().get("ip").unwrap().get("bucket").unwrap();
        let rates: Vec<_> =
            bucket.elements().iter().map(|b| b.get("rate").unwrap().text().unwrap()).collect();
        assert_eq!(rates, ["20 / 1m", "1"]);
        assert_eq!(bucket.line, 4);
        let inner = root.get("named").unwrap().get("one").unwrap().get("key").unwrap();
        assert_eq!(inner.text(), Some("value"));
        assert_eq!(root.get("path").unwrap().text(), Some("${DBDIR}/maps.d/a.map"));
        assert_eq!(root.get("text").unwrap().text(), Some("two\nlines\n"));
        assert_eq!(root.get("last").unwrap().text(), Some("yes"));
        assert_eq!(macros, [(7, ".include(try=true) \"$LOCAL_CONFDIR/x.conf\"".to_owned())]);
        let (json, _) = parse("{\"a\": [1, \"b\\\"c\"], \"d\": {\"e\": true}}").unwrap();
        assert_eq!(json.get("a").unwrap().elements()[1].text(), Some("b\"c"));
        assert_eq!(json.get("d").unwrap().get("e").unwrap().text(), Some("true"));
    }

    #[test]
    fn a_path_in_a_macro_may_hold_a_variable_in_braces() {
        let text = "greylist {\n\
            \x20 timeout = 5min; # as Debian ships it\n\
            \x20 .include(try=true,priority=5) \"${DBDIR}/dynamic/greylist.conf\"\n\
            \x20 .include(try=true,priority=1,duplicate=merge) '$LOCAL_CONFDIR/{a;b}.conf'\n\
            \x20 .include \"torn\n\
            \x20 .macro \"{\" { key = value; }\n\
            \x20 enabled = true;\n}\n";
        let (root, macros) = parse(text).unwrap();
        let greylist = root.get("greylist").unwrap();
        assert_eq!(greylist.get("enabled").map(|node| (node.line, node.text())), Some((7, Some("true"))));
        assert_eq!(greylist.pairs().len(), 2, "what a macro takes is no key of the section");
        let lines: Vec<usize> = macros.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [3, 4, 5, 6]);
        assert_eq!(macros[0].1, ".include(try=true,priority=5) \"${DBDIR}/dynamic/greylist.conf\"");
    }

    #[test]
    fn a_fault_is_told_with_its_line() {
        for (text, line, what) in [
            ("a {\n b = 1;\n", 3, "an object without its end"),
            ("a = [1,\n", 2, "an array without its end"),
            ("a = \"b", 1, "a text without its end"),
            ("a = 1;\n}", 2, "a key was expected"),
            ("\n/* b", 2, "a comment without its end"),
            ("a = ;", 1, "a value was expected"),
        ] {
            let (at, why) = parse(text).unwrap_err();
            assert_eq!((at, why.as_str()), (line, what), "{text:?}");
        }
        assert_eq!(parse(&"a {".repeat(100)).unwrap_err().1, "too deep");
        assert_eq!(parse(&"a ".repeat(10_000)).unwrap_err().1, "too deep");
        assert_eq!(parse(&".a {".repeat(100_000)).unwrap_err().1, "too deep");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-c \n={};:,\\[\\]\"'<.*/#$\\\\]{0,60}") {
            let _ = parse(&text);
        }
    }
}
