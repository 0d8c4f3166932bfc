// What a person does at Psi's windows, put into it with LD_PRELOAD; the program itself stays as Debian ships it.
// Presses Accept (Reject, when PSI_DECLINE is set) at the question about a file, and Save at the one where to.
#include <QApplication>
#include <QFileDialog>
#include <QPushButton>
#include <QTimer>

static bool first_time(QObject *window)
{
    const bool first = !window->property("pressed").isValid();
    window->setProperty("pressed", true);
    return first;
}

static void press(QWidget *window, const QString &label)
{
    for (auto *button : window->findChildren<QPushButton *>())
        if (button->text() == label)
            QMetaObject::invokeMethod(button, "click", Qt::QueuedConnection);
}

static void look()
{
    if (QWidget *modal = QApplication::activeModalWidget()) {
        if (qobject_cast<QFileDialog *>(modal) && first_time(modal))
            QMetaObject::invokeMethod(modal, "accept", Qt::QueuedConnection);
        return; // and nothing behind it can be pressed
    }
    for (QWidget *window : QApplication::topLevelWidgets())
        if (window->inherits("FileRequestDlg") && window->isVisible() && first_time(window))
            press(window, qEnvironmentVariableIsSet("PSI_DECLINE") ? "&Reject" : "&Accept");
}

static void start()
{
    auto *timer = new QTimer(qApp);
    QObject::connect(timer, &QTimer::timeout, look);
    timer->start(50);
}
Q_COREAPP_STARTUP_FUNCTION(start)
