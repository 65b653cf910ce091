//! What is asked of a namespace and sent to it, and what is kept of the answers.

use std::any::{Any, TypeId};
use std::sync::Arc;

use super::Namespace;
use crate::error::{Error, KernelError, Result};
use crate::kind::{Message, Protocol};
use crate::netlink::{Dump, Refusal, Reply};
use crate::recall::Transcript;
use crate::sysctl::{self, SysctlKey};

/// Counts of nf_tables transactions that the kernel has acknowledged; each has made a new generation of the ruleset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transactions {
    /// All of them.
    pub all: u32,
    /// Those about more than elements of sets.
    pub of_structure: u32,
}

fn is_about_elements(message: &Message) -> bool {
    let elements = [libc::NFT_MSG_NEWSETELEM, libc::NFT_MSG_DELSETELEM];
    elements.contains(&libc::c_int::from(message.kind().to_be_bytes()[1]))
}

impl Namespace {
    /// Takes a dump.
    ///
    /// # Errors
    /// See [`Session::dump`](crate::netlink::Session::dump).
    pub fn dump(&mut self, protocol: Protocol, request: &Message) -> Result<Arc<Dump>> {
        let known = self.at_hand.iter().position(|(p, r, _)| *p == protocol && r == request);
        let dump = match known {
            Some(n) => self.at_hand.swap_remove(n).2,
            None => self.ask(protocol, request)?,
        };
        if let Some(transcript) = &mut self.transcript {
            transcript.notes(protocol, request, &dump);
        }
        Ok(dump)
    }

    fn ask(&mut self, protocol: Protocol, request: &Message) -> Result<Arc<Dump>> {
        let netns = self.netns.clone();
        let dump = self.session(protocol)?.dump(request);
        let mut dump = dump.map_err(|e| match e {
            Error::Io { what, source } => {
                Error::Io { what: format!("read namespace {netns}: {what}"), source }
            }
            Error::Kernel(mut refusal) => {
                refusal.what = format!("{} in namespace {netns}", refusal.what);
                Error::Kernel(refusal)
            }
            other => other,
        })?;
        dump.make_comparable();
        Ok(Arc::new(dump))
    }

    /// Takes a dump that may be of any length: `each` is called with its messages as they come.
    ///
    /// # Errors
    /// See [`Session::dump_each`](crate::netlink::Session::dump_each).
    pub fn dump_each(
        &mut self,
        protocol: Protocol,
        request: &Message,
        each: impl FnMut(&Reply<'_>),
    ) -> Result<()> {
        self.noting(|_, transcript| transcript.into_iter().for_each(|t| t.lacks = true));
        self.session(protocol)?.dump_each(request, each)
    }

    /// What `work` learns, and what it asked to learn it.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn attend<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<(T, Transcript)> {
        self.transcript = Some(Transcript::default());
        let learned = work(self);
        self.at_hand.clear();
        let transcript = self.transcript.take().unwrap_or_default();
        Ok((learned?, transcript))
    }

    /// Asks again what was asked, and says whether all answers are the same. If not, those that were given are at hand for
    /// the next who [attends](Self::attend).
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn repeats(&mut self, transcript: &Transcript) -> Result<bool> {
        if transcript.lacks || !transcript.files_are_the_same() {
            return Ok(false);
        }
        for (protocol, request, before) in &transcript.dumps {
            let now = self.ask(*protocol, request).inspect_err(|_| self.at_hand.clear())?;
            let same = now == *before;
            self.at_hand.push((*protocol, request.clone(), now));
            if !same {
                return Ok(false);
            }
        }
        let (keys, before): (Vec<SysctlKey>, Vec<_>) = transcript.sysctls.iter().cloned().unzip();
        let same = keys.is_empty() || sysctl::values(self, &keys)? == before;
        if same {
            self.at_hand.clear();
        }
        Ok(same)
    }

    /// Runs `work`, which notes what it reads besides answers of the kernel, if somebody attends.
    pub fn noting<T>(&mut self, work: impl FnOnce(&Self, Option<&mut Transcript>) -> T) -> T {
        let mut transcript = self.transcript.take();
        let done = work(self, transcript.as_mut());
        self.transcript = transcript;
        done
    }

    /// Asks for one object.
    ///
    /// # Errors
    /// See [`Session::get`](crate::netlink::Session::get).
    pub fn get(&mut self, protocol: Protocol, request: &Message) -> Result<Option<Dump>> {
        self.noting(|_, transcript| transcript.into_iter().for_each(|t| t.lacks = true));
        self.session(protocol)?.get(request)
    }

    /// Asks for many objects at once; what there is none of is not among the answers.
    ///
    /// # Errors
    /// What the kernel refuses otherwise.
    pub fn get_each(&mut self, protocol: Protocol, requests: &[Message]) -> Result<Dump> {
        let (answers, refusals) = self.ask_each(protocol, requests)?;
        match refusals.into_iter().find(|(_, refusal)| !refusal.is_absence()) {
            None => Ok(answers),
            Some((_, r)) => {
                let what = format!("read one object of namespace {}", self.netns);
                Err(KernelError { what, errno: r.errno, words: r.words, attribute: r.attribute }.into())
            }
        }
    }

    /// Asks for many objects at once; the answers, and the refusals by the positions of their requests.
    ///
    /// # Errors
    /// See [`Session::get_each`](crate::netlink::Session::get_each).
    pub fn ask_each(
        &mut self,
        protocol: Protocol,
        requests: &[Message],
    ) -> Result<(Dump, Vec<(usize, Refusal)>)> {
        if requests.is_empty() {
            return Ok((Dump::default(), Vec::new()));
        }
        self.noting(|_, transcript| transcript.into_iter().for_each(|t| t.lacks = true));
        self.session(protocol)?.get_each(requests)
    }

    /// Sends messages; returns those that were refused.
    ///
    /// # Errors
    /// See [`Session::exchange`](crate::netlink::Session::exchange).
    pub fn exchange(
        &mut self,
        protocol: Protocol,
        messages: &mut [Message],
    ) -> Result<Vec<(usize, Refusal)>> {
        let refusals = self.session(protocol)?.exchange(messages)?;
        // A refused transaction makes no generation: counted, it would stand for another program's.
        if protocol == Protocol::Netfilter && refusals.is_empty() && !messages.is_empty() {
            self.transactions.all += 1;
            self.transactions.of_structure += u32::from(!messages.iter().all(is_about_elements));
        }
        Ok(refusals)
    }

    /// Sends messages that are carried out one by one; returns those that were refused.
    ///
    /// # Errors
    /// See [`Session::each`](crate::netlink::Session::each).
    pub fn exchange_each(
        &mut self,
        protocol: Protocol,
        messages: &mut [Message],
    ) -> Result<Vec<(usize, Refusal)>> {
        self.session(protocol)?.each(messages)
    }

    /// Counts of acknowledged transactions of nf_tables.
    pub fn transactions(&self) -> Transactions {
        self.transactions
    }

    /// What a kind keeps of this namespace; at first nothing.
    pub fn keepsake<T: Any + Send + Sync + Default>(&mut self) -> &mut T {
        let kept = self.keepsakes.entry(TypeId::of::<T>());
        let kept = kept.or_insert_with(|| Box::<T>::default()).as_mut() as &mut dyn Any;
        #[expect(clippy::expect_used, reason = "it is kept under its own type")]
        kept.downcast_mut().expect("what is kept under a type is of that type")
    }

    /// Sends messages of which none may be refused; `what` says for errors what they ask of the kernel.
    ///
    /// # Errors
    /// The first refusal.
    pub fn request(&mut self, protocol: Protocol, messages: &mut [Message], what: &str) -> Result<()> {
        match self.exchange(protocol, messages)?.into_iter().next() {
            None => Ok(()),
            Some((_, r)) => {
                let what = what.to_owned();
                Err(KernelError { what, errno: r.errno, words: r.words, attribute: r.attribute }.into())
            }
        }
    }
}
