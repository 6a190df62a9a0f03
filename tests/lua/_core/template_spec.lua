-- luacheck: std luajit+busted
-- Templates as Lua, without their C side: `write` is a stand-in that shows which letter each value had.
local compile = require("tidegate._core.template_compile").compile
local lexer = require("tidegate._pure.template_lexer")

local function write(page, spec, ...)
  local kinds = spec:match("^[^\n]*")
  for index = 1, #kinds do
    local kind, value = kinds:sub(index, index), select(index, ...)
    page[#page + 1] = kind == "t" and value or kind .. "<" .. tostring(value) .. ">"
  end
end

local helpers = setmetatable({ json = tostring, url = tostring }, { __index = _G })

local function compiled(source, parent)
  local result, err = compile(source, "templates/x.html", true, function(_, fail)
    return parent or fail("no parent")
  end)
  return assert(result, err and err.message)
end

local function render(source, data)
  local template, page = compiled(source), {}
  local context = {
    block = function(context, name, level)
      loadstring(template.blocks[name])(page, data or {}, helpers, write, context, level)
    end,
  }
  loadstring(template.main, "@templates/x.html")(page, data or {}, helpers, write, context)
  return table.concat(page)
end

local function fails(source, message, line, column, end_column)
  local result, err = compile(source, "templates/x.html", true, function(_, fail) fail("no parent") end)
  assert.equal(nil, result)
  assert.has(message, err.message)
  assert.equal("templates/x.html", err.file)
  if line then
    assert.same({ line, column, end_column or err.end_column }, { err.line, err.column, err.end_column })
  end
end

describe("a template", function()
  it("writes text and values", function()
    assert.equal("<p>e<1> and r<2></p>", render("<p>{{ a }} and {{{ b }}}</p>", { a = 1, b = 2 }))
    assert.equal("r<x>", render("{{ raw(a) }}", { a = "x" }))
    assert.equal("", render(""))
    assert.equal("plain \"text\" \\ with\0all\r\nof it", render("plain \"text\" \\ with\0all\r\nof it"))
  end)

  it("knows strings, comments and braces of Lua in its tags", function()
    assert.equal("e<}}>", render("{{ '}}' }}"))
    assert.equal("e<%}>", render("{{ [[%}]] }}"))
    assert.equal("e<1>", render("{{ ({ a = { b = 1 } }).a.b }}"))
    assert.equal("e<1>", render("{{ a -- the first }}", { a = 1 }))
    assert.equal("e<3>", render("{{ a --[[ }} ]] + 2 }}", { a = 1 }))
    assert.equal("12", render("1{% -- nothing %}2"))
    assert.equal("%}e<2>", render("{% local x = 'end' -- %}\n%}{% local y = 2 %}{{ y }}"))
  end)

  it("leaves comments and verbatim text alone", function()
    assert.equal("ab", render("a{# {{ x }} {% y #}b"))
    assert.equal("{{ x }}{% y %}", render("{% raw %}{{ x }}{% y %}{% endraw %}"))
  end)

  it("runs statements", function()
    assert.equal("e<1>e<2>", render("{% for _, n in ipairs(list) do %}{{ n }}{% end %}", { list = { 1, 2 } }))
    assert.equal("no", render("{% if a then %}yes{% else %}no{% end %}"))
    assert.equal("e<5>", render("{% x = 5 %}{{ x }}"))
    assert.equal("<i>e<1></i><i>e<2></i>",
      render("{% local function row(n) %}<i>{{ n }}</i>{% end %}{% row(1) row(2) %}"))
  end)

  it("takes lines with nothing but a statement away, and what a minus asks for", function()
    assert.equal("<ul>\n  <li>e<1></li>\n</ul>\n",
      render("<ul>\n{% for _, n in ipairs({ 1 }) do %}\n  <li>{{ n }}</li>\n  {% end %}  \n</ul>\n{# end #}\n"))
    assert.equal("ae<1>b", render("a \n {{- 1 -}} \n b"))
    assert.equal("ab", render("a \n {%- local x -%} \n b"))
    assert.equal("e<-1>", render("{{-1}}"))
    assert.equal("a e<1> b", render("a {{ 1 }} b"))
  end)

  it("knows data by name, before the globals", function()
    assert.equal("e<t>e<n>", render("{{ type }}{{ next }}", { type = "t", next = "n" }))
    assert.equal("e<nil>", render("{{ nobody }}"))
    assert.equal("e<number>", render("{{ type(1) }}"))
    local many = {}
    for index = 1, 121 do
      many[index] = ("{{ name_%d }}"):format(index)
    end
    fails(table.concat(many), "more than 120 names")
    assert.has("e<nil>", render(table.concat(many, " ", 1, 120)))
  end)

  it("has its lines where its text has them", function()
    for _, source in ipairs({ "1\n2\n{{ a.b }}", "{{ a }}\n\n{{ a.b }}", "{#\n#}\n{{ a.b }}",
      "{% local x =\n 1 %}\n{{ a.b }}",
      "x{{ 1 }}\n{% raw %}\n{% endraw %}{{ a.b }}", "{%- local x %}\n\n{{ (\na.b) }}" }) do
      local err = assert.error(function() render(source) end)
      assert.has("templates/x.html:" .. (source:find("(\n", 1, true) and 4 or 3) .. ":", err)
    end
    local err = assert.error(function() render("{% block x %}\n{{ a.b }}{% endblock %}") end)
    assert.has("templates/x.html:2:", err)
  end)
end)

describe("errors of a template", function()
  it("stand at the token", function()
    fails("<p>\n{{ x y }}", "'<eof>' expected near 'y'", 2, 6, 6)
    fails("<p>\n{{ a) .. (b }}", "near ')'", 2, 5, 5)
    fails("{{ }}", "an expression is missing", 1, 1, 5)
    fails("a\n{% if x the %}{% end %}", "'then' expected near 'the'", 2, 9, 11)
    fails("a\n{% for %}b", "near", 2, 1)
    fails("a\n{% if x then %}\n\nb", "'end' expected", 2, 1, 15)
    fails("{% end %}", "near 'end'", 1, 4, 6)
    fails("a\n {{ x", "'{{' is not closed by '}}'", 2, 2, 3)
    fails("{{ 'x }}", "'{{' is not closed", 1, 1, 2)
    fails("{{{ x }}", "'{{{' is not closed", 1, 1, 3)
    fails("{% raw %}", "endraw", 1, 1, 9)
    fails("{# x", "'{#' is not closed", 1, 1, 2)
    fails("{{ a, b }}", "near ','", 1, 5, 5)
    fails("{{ a\n+\n* b }}", "near '*'", 3, 1, 1)
  end)

  it("name what is wrong with blocks", function()
    fails("{% block %}", "block takes a name", 1, 1, 11)
    fails("{% block a %}{% endblock %}{% block a %}{% endblock %}", "there twice", 1, 28, 40)
    fails("{% endblock %}", "without a block")
    fails("{% block a %}", "has no endblock")
    fails("{% block a %}{% endblock b %}", "endblock of the block 'a'")
    fails("{% block a %}<p{% endblock %}", "the block begins in text and ends inside of a <p> tag")
    fails("{% super %}", "super stands in a block")
    fails("{{ super() }}", "super is a statement")
    fails("x{% extends 'y' %}", "at the beginning")
    fails("{% extends y %}", "takes a name in quotes")
    fails("{% extends 'y' %}", "no parent", 1, 1, 17)
    fails("{% include %}", "unexpected symbol")
    fails("{{ include('x') }}", "include is a statement")
  end)

  it("name what a template that extends another cannot have outside of its blocks", function()
    local parent = compiled("<script>{% block js %}{% endblock %}</script>{% block body %}{% endblock %}")
    for source, message in pairs({
      ["{% extends 'p' %}\n text"] = "text in blocks",
      ["{% extends 'p' %}{{ x }}"] = "expressions in blocks",
      ["{% extends 'p' %}{% local x %}"] = "statements in blocks",
      ["{% extends 'p' %}{% block bdy %}{% endblock %}"] = "did you mean body?",
    }) do
      local _, err = compile(source, "templates/x.html", true, function() return parent end)
      assert.has(message, err and err.message or "nothing")
    end
    local _, err = compile("{% extends 'p' %}{% block js %}{{ x }}{% endblock %}",
      "x", true, function() return parent end)
    assert.has("inside of <script>", err.message)
    local source = "{% extends 'p' %}{% block js %}{{ json(x) }}{% endblock %}"
    assert.truthy(compile(source, "x", true, function() return parent end))
  end)
end)

describe("where an expression stands", function()
  local places = {
    ["<p>{{ x }}"] = "e",
    ["<p title=\"a {{ x }}\">"] = "e",
    ["<p title='{{ x }}'>"] = "e",
    ["<p {{ x }}>"] = "e",
    ["<p data-{{ x }}='1'>"] = "e",
    ["<a href=\"{{ x }}\">"] = "u",
    ["<A HREF = '{{ x }}'>"] = "u",
    ["<a href=\"/u/{{ x }}\">"] = "e",
    ["<a href='?q={{ x }}'>"] = "e",
    ["<img src='{{ url(x) }}'>"] = "u",
    ["<form action=\"{{ x }}\">"] = "u",
    ["<button formaction='{{ x }}'>"] = "u",
    ["<use xlink:href='{{ x }}'>"] = "u",
    ["<a data-href='{{ x }}'>"] = "e",
    ["<script>{{ json(x) }}"] = "j",
    ["<SCRIPT type='module'>a = {{ json(x) }};"] = "j",
    ["<p onclick='f({{ json(x) }})'>"] = "e",
    ["<title>{{ x }}"] = "e",
    ["<textarea>{{ x }}"] = "e",
    ["<!-- {{ x }} -->"] = "e",
    ["<script></script>{{ x }}"] = "e",
    ["<script>'</scripty'</script >{{ x }}"] = "e",
    ["<style></style>{{ x }}"] = "e",
    ["<!-- <script> -->{{ x }}"] = "e",
    ["a < b {{ x }}"] = "e",
    ["<p title='>'>{{ x }}"] = "e",
    ["<a href='{% if x then %}{{ x }}{% else %}{{ y }}{% end %}'>"] = "u",
    ["<a href='/{% for _ = 1, 2 do %}{{ x }}{% end %}'>"] = "e",
    ["<a href='{% block a %}{{ x }}{% endblock %}'>"] = "u",
    ["</script>{{ x }}"] = "e",
    ["<scripts>{{ x }}"] = "e",
    ["<p/>{{ x }}"] = "e",
    ["<p a b=c d>{{ x }}"] = "e",
    ["<p title=\"<script>\">{{ x }}"] = "e",
    ["<title><script></title>{{ x }}"] = "e",
    ["<p style='color: {{ x }}'>"] = "e",
    ["<p =x>{{ x }}"] = "e",
    ["<a href='{{{ x }}}'>"] = "r",
    ["<script>{{{ x }}}"] = "r",
    ["{{ json(x) }}"] = "e",
    ["{{ url(x) }}"] = "e",
    ["<script>{{ raw(x) }}"] = "r",
  }
  it("says how it is written", function()
    for source, kind in pairs(places) do
      assert.has(kind .. "<1>", source .. " " .. render(source, { x = 1 }))
    end
  end)

  local refused = {
    ["<script>{{ x }}"] = "inside of <script>",
    ["<script>'{{ x }}'"] = "inside of <script>",
    ["<script>{{ json(x) .. y }}"] = "inside of <script>",
    ["<style>{{ x }}"] = "inside of <style>",
    ["<p onclick='{{ x }}'>"] = "onclick holds JavaScript",
    ["<p ONERROR=\"a{{ x }}\">"] = "onerror holds JavaScript",
    ["<a href={{ x }}>"] = "into quotes",
    ["<a href= {{ x }}>"] = "into quotes",
    ["<p title=a{{ x }}>"] = "into quotes",
    ["<{{ x }}>"] = "name of a tag",
    ["</{{ x }}>"] = "name of a tag",
    ["<h{{ x }}>"] = "name of a tag",
    ["<p {{ x }}='1'>"] = "name of an attribute",
    ["<p on{{ x }}='1'>"] = "name of an attribute",
    ["<a href='{{ x }}{{ y }}'>"] = "a URL begins with one expression", ["<iframe srcdoc='{{ x }}'>"] = "srcdoc",
    ["<a href='{{ x }}{% if y then %}{{ z }}{% end %}'>"] = "a URL begins with one",
    ["<a href='{% for _, c in ipairs(x) do %}{{ c }}{% end %}'>"] = "a URL begins with one",
    ["<a href='{% if a then %}{{ x }}{% else %}{% end %}{{ y }}'>"] = "a URL begins with one",
    ["<a href='{% if a then %}{{ x }}{% end %}{{ y }}'>"] = "a URL begins with one",
    ["<a href='{% block a %}{% endblock %}{{ y }}'>"] = "a URL begins with one",
    ["<a href='{% local function f() %}{{ x }}{% end %}{% f() f() %}'>"] = "a URL begins with one",
    ["{% if x then %}<script>{% end %}{{ y }}"] = "one way to this place ends",
    ["{% for _ = 1, 2 do %}<p {% end %}"] = "one way to this place ends",
    ["<p {% include 'x' %}>"] = "an include stands in text",
    ["<script>{% include 'x' %}</script>"] = "an include stands in text",
  }
  it("refuses what cannot be made safe", function()
    for source, message in pairs(refused) do
      local result, err = compile(source, "x", true, error)
      assert.has(message, source .. " " .. (result and "was taken" or err.message))
    end
  end)

  it("follows branches", function()
    assert.equal("<option selected>", render("<option{% if x then %} selected{% end %}>", { x = 1 }))
    local source = "{% if a then %}<p class='a'>{% elseif b then %}<p class='b'>{% else %}<p>{% end %}{{ x }}"
    assert.equal("<p class='b'>e<1>", render(source, { b = 1, x = 1 }))
    assert.equal("1", render("{% if a then b() end %}1"))
  end)

  it("does not matter where nothing is escaped", function()
    assert.truthy(compile("<script>{{ x }} <a href={{ x }}>", "x.txt", false, error))
  end)
end)

describe("names of templates in Lua", function()
  local function names(source)
    local out = {}
    for _, row in ipairs(lexer.names(source)) do
      out[#out + 1] = row.name
      assert.equal(row.name, source:sub(row.offset + 1, row.stop - 1))
    end
    return out
  end
  it("are found where they are literals", function()
    assert.same({ "a", "b/c", "d", "e" }, names([[
      return tg.template.render("a", { x = "tg.template.render('no')" }) , tg.template.text('b/c'),
        tg.template.get "d" -- tg.template.render("no")
      --[==[ tg.template.render("no") ]==] local x = tg.template.render ( "e" )
      mytg.template.render("no") x.tg.template.render("no") tg.template.render("no" .. n)
      tg.template.string("no") tg.template.render(name)
    ]]))
    assert.same({}, names(""))
  end)
end)
