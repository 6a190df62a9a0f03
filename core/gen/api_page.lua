-- Writes docs/reference/api.md: every public function, for readers. For document.lua.

local comments = require "comments"

local has, signature, local_name = comments.has, comments.signature, comments.local_name

-- What a block says, as paragraphs, then its parameters and results.
local function put_text(out, block)
  local words, tags = {}, {}
  for _, line in ipairs(block) do
    local tag, rest = line:match("^@(%a+)%s*(.*)$")
    if not tag and not tags[1] then
      words[#words + 1] = line
    elseif not tag then
      tags[#tags] = tags[#tags] .. " " .. line:match("^%s*(.*)$")
    elseif tag == "param" or tag == "field" then
      tags[#tags + 1] = ("- `%s` %s"):format(rest:match("^(%S+)%s*(.*)$"))
    elseif tag == "return" then
      tags[#tags + 1] = "- returns " .. rest
    elseif tag == "class" then
      local text = rest:match("^%S+%s+(.+)$")
      words[#words + 1] = text and not text:find("^:") and text or nil
    elseif tag == "type" then
      tags[#tags + 1] = "- " .. rest
    end
  end
  local text = table.concat(words, "\n"):gsub("^\n+", ""):gsub("\n+$", "")
  if text ~= "" then
    out[#out + 1] = text
    out[#out + 1] = ""
  end
  if tags[1] then
    out[#out + 1] = (table.concat(tags, "\n"):gsub(" +\n", "\n"):gsub(" +$", ""))
    out[#out + 1] = ""
  end
end

local function put_entry(out, owner, item)
  local params = item.kind == "function" and item.params or has(item.block, "param") and signature(item)
  local mark = item.method and ":" or "."
  out[#out + 1] = ("### %s%s%s%s"):format(owner, mark, item.name, params and "(" .. params .. ")" or "")
  out[#out + 1] = ""
  put_text(out, item.block)
end

local function put_objects(out, found)
  out[#out + 1] = "## Objects"
  out[#out + 1] = ""
  for _, class in ipairs(found.classes) do
    if class.items[1] or not class.reopened then
      out[#out + 1] = "### " .. class.name
      out[#out + 1] = ""
      put_text(out, class.block)
      for _, item in ipairs(class.items) do
        put_entry(out, local_name(class.name):lower(), item)
      end
    end
  end
  out[#out + 1] = "## Tables"
  out[#out + 1] = ""
  for _, item in ipairs(found.types) do
    out[#out + 1] = "### " .. item.name
    out[#out + 1] = ""
    put_text(out, item.block)
  end
end

return function(found)
  local out = {
    "# All functions", "",
    "Every public function with what its comment in the source says; written by `luajit core/gen/document.lua`. The",
    "pages of the modules say how they belong together. ⏸ marks what may suspend the task.", "", "## tg", "",
  }
  for _, item in ipairs(found.functions) do
    put_entry(out, "tg", item)
  end
  for _, module in ipairs(found.modules) do
    out[#out + 1] = "## tg." .. module.name
    out[#out + 1] = ""
    put_text(out, module.block)
    for _, item in ipairs(module.items) do
      put_entry(out, "tg." .. module.name, item)
    end
  end
  for _, module in ipairs(found.c_modules) do
    out[#out + 1] = "## tg." .. module.name
    out[#out + 1] = ""
    for _, line in ipairs(module.block) do
      local name, rest = line:match("^@field%s+(%S+)%s+(.*)$")
      if name then
        out[#out + 1] = ("- `%s` %s"):format(name, rest)
      elseif line:find("^@class") or line:find("^@alias") then
        local kind, text = line:match("^@%a+%s+(%S+)%s*(.*)$")
        out[#out + 1] = ("%s`%s` %s"):format(out[#out] == "" and "" or "\n", kind, text)
        out[#out + 1] = ""
      elseif line ~= "" then
        out[#out + 1] = line
      end
    end
    out[#out + 1] = ""
  end
  put_objects(out, found)
  local text = table.concat(out, "\n")
  return (text:gsub("\n\n\n+", "\n\n"):gsub("[ \t]+\n", "\n"):gsub("\n+$", "")) .. "\n"
end
