//! The writer's thread.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, TryRecvError};

use inspect::Inspector;

use super::{LineKind, OutputLine, symbolise};

/// A message in the channel.
#[derive(Debug)]
pub(super) enum Message {
    Line(OutputLine),
    Block(Vec<OutputLine>),
    Finish,
}

/// The destination of lines.
pub(super) enum Target {
    Streams { out: Box<dyn Write + Send>, notices: Box<dyn Write + Send> },
    Callback(Box<dyn FnMut(OutputLine) + Send>),
}

impl Target {
    fn line(&mut self, mut line: OutputLine) -> io::Result<()> {
        match self {
            Self::Callback(callback) => {
                callback(line);
                Ok(())
            }
            Self::Streams { out, notices } => {
                line.bytes.push(b'\n');
                match line.kind {
                    LineKind::Script | LineKind::Stack => out.write_all(&line.bytes),
                    LineKind::Notice => notices.write_all(&line.bytes),
                }
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Callback(_) => Ok(()),
            Self::Streams { out, notices } => out.flush().and(notices.flush()),
        }
    }
}

/// Writes until the end. After an error it returns, and from then on printing fails.
pub(super) fn run(
    receiver: &Receiver<Message>,
    mut target: Target,
    inspector: Option<&Inspector>,
) -> io::Result<()> {
    loop {
        let message = match receiver.try_recv() {
            Ok(message) => message,
            Err(TryRecvError::Disconnected) => break,
            // No message is waiting: flush before blocking.
            Err(TryRecvError::Empty) => {
                target.flush()?;
                let Ok(message) = receiver.recv() else { break };
                message
            }
        };
        let line = match message {
            Message::Line(line) => line,
            Message::Block(lines) => {
                for line in lines {
                    target.line(match inspector {
                        Some(inspector) => symbolise::in_line(line, inspector),
                        None => line,
                    })?;
                }
                continue;
            }
            Message::Finish => break,
        };
        let named = match (inspector, line.kind) {
            (Some(inspector), LineKind::Script) => symbolise::stack_line(&line, inspector),
            _ => None,
        };
        target.line(line)?;
        if let Some(named) = named {
            target.line(named)?;
        }
    }
    target.flush()
}
