#!/usr/bin/env ruby
# frozen_string_literal: true

# Gives the virtual machines of a host their network, from the records that a control plane keeps of them: one call of
# the command, JSON in and JSON out. Nothing but the standard library.
#
#   ruby provision.rb records.json
#
# The host becomes as the records say, whatever it was: what they no longer have is removed, and a second call does
# nothing. Secrets go through a pipe of their own, so the spec can be logged.

require "json"
require "open3"

module Guestnet
  COMMAND = ENV.fetch("GUESTNET", "guestnet")

  # What the command could not do; its document says all about it.
  class Error < StandardError
    attr_reader :document

    def initialize(document)
      @document = document
      super(document["message"])
    end

    def problems = document["problems"]
    def hint = document["hint"]
    def retry? = document["can_retry"]
  end

  # Makes the host as `spec` says. `secrets` has what the spec only names.
  def self.apply(spec, secrets)
    reader, writer = IO.pipe
    # In a thread: a pipe has room for 64 KiB only.
    feeder = Thread.new { writer.write(JSON.generate(secrets)) rescue nil; writer.close }
    out, err, status = Open3.capture3(
      COMMAND, "apply", "-f", "-", "--secrets", "fd:3", "--output", "json",
      stdin_data: JSON.generate(spec), 3 => reader
    )
    reader.close
    feeder.join
    return JSON.parse(out) if status.success?

    # The document of an error is the last line; with -v there would be others before it.
    raise Error, JSON.parse(err.lines.last)
  end
end

# The spec of one virtual machine, and the secrets that it names.
def guest(vm)
  secrets = {}
  tunnels = vm["peers"].map do |peer|
    name = "#{vm["name"]}:#{peer["endpoint"]}"
    secrets[name] = peer["secret"]
    {
      local: vm["endpoint"],
      remote: peer["endpoint"],
      secret: { named: name },
      pairs: [
        { local: "#{vm["private_ipv4"]}/32", remote: "#{peer["private_ipv4"]}/32" },
        { local: vm["private_ipv6"], remote: peer["private_ipv6"] }
      ]
    }
  end
  interface = vm.slice("mac", "public_ipv4", "private_ipv4", "public_ipv6", "private_ipv6")
  spec = {
    name: vm["name"],
    endpoint: vm["endpoint"],
    proxied: [vm["endpoint"]],
    interfaces: [{ name: "tap#{vm["name"]}", **interface.transform_keys(&:to_sym) }],
    tunnels: tunnels
  }
  [spec, secrets]
end

def provision(records)
  guests, secrets = records["vms"].map { |vm| guest(vm) }.transpose
  spec = { version: 1, uplink: records["uplink"], guests: guests || [] }
  attempts = 0
  begin
    Guestnet.apply(spec, (secrets || []).reduce({}, :merge))
  rescue Guestnet::Error => e
    # Somebody else is at work on the host.
    retry if e.retry? && (attempts += 1) < 3
    raise
  end
end

begin
  report = provision(JSON.parse(File.read(ARGV.fetch(0))))
  puts "#{report["changes"]} changes"
  report["files"].each { |file| puts "#{file} has changed: restart the daemon that reads it" }
rescue Guestnet::Error => e
  warn e.message
  e.problems.each { |problem| warn "  #{problem["path"]} is wrong" }
  warn "hint: #{e.hint}" if e.hint
  exit e.document["exit_code"]
end
