-- /files: send, list, fetch, remove.
local tg = require "tidegate"
local cabinet = require "cabinet"

local S = tg.schema
local MIB = 1024 * 1024

local File = S.obj({
  { "id", S.uuid },
  { "name", S.str({ desc = "As the sender called it." }) },
  { "type", S.str },
  { "size", S.int({ min = 0, desc = "Bytes." }) },
  { "note", S.str({ optional = true }) },
  { "at", S.datetime },
}, { name = "File" })

return {
  tags = { "files" },

  ["GET /"] = {
    summary = "List files",
    operation_id = "list_files",
    response = S.array(File),
    run = function()
      return cabinet.list()
    end,
  },

  ["POST /"] = {
    summary = "Send a file",
    operation_id = "send_file",
    max_body = 8 * MIB, -- the whole form; past it 413, before a byte more is read
    form = {
      file = S.file({
        min_size = 1,
        max_size = 6 * MIB,
        types = { "text/plain", "application/pdf", "image/png", "image/jpeg" },
      }),
      note = S.str({ optional = true, max_len = 200 }),
    },
    status = 201,
    response = File,
    responses = { [413] = "The form is larger than 8 MiB.", [415] = "That was no form." },
    run = function(req)
      local entry = cabinet.keep(req.body.file, req.body.note)
      return 201, entry, { location = "/files/" .. entry.id }
    end,
  },

  ["GET /{id:uuid}"] = {
    summary = "Fetch a file",
    description = "As a download, in whole or in ranges.",
    operation_id = "fetch_file",
    responses = { [200] = { desc = "The bytes.", type = "application/octet-stream" }, [404] = "There is none." },
    run = function(req)
      return cabinet.send(req.params.id)
    end,
  },

  ["DELETE /{id:uuid}"] = {
    summary = "Remove a file",
    operation_id = "remove_file",
    status = 204,
    responses = { [404] = "There is none." },
    run = function(req)
      cabinet.remove(req.params.id)
    end,
  },
}
